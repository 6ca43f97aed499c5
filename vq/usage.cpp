// Usage of a codebook: see usage.h.
#include "vq/usage.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace versor {

void UsageHistogram::add(const Tensor& counts) {
  const auto batch = counts.to_vector<int32_t>();
  check(batch.size() == counts_.size(), "usage", "histogram of ", counts_.size(),
        " codes cannot take counts ", counts.shape());
  for (size_t k = 0; k < batch.size(); ++k) counts_[k] += batch[k];
}

UsageHistogram::Use UsageHistogram::use_of(int64_t symbol) const {
  const auto begin = counts_.begin() + symbol * vocabulary_.codes, end = begin + vocabulary_.codes;
  Use use;
  use.total = std::accumulate(begin, end, 0.0);
  for (auto n = begin; n != end; ++n)
    if (*n > 0) {
      const double p = static_cast<double>(*n) / use.total;
      use.entropy -= p * std::log(p);
    }
  return use;
}

double UsageHistogram::perplexity() const {
  double entropy = 0;
  int64_t counted = 0;
  for (int64_t l = 0; l < vocabulary_.symbols; ++l) {
    const Use use = use_of(l);
    entropy += use.entropy;
    counted += use.total > 0;
  }
  return counted > 0 ? std::exp(entropy / static_cast<double>(counted)) : 1.0;
}

double UsageHistogram::usage() const {
  int64_t busy = 0, codes = 0;  // codes: the number of codes of all symbols that were counted
  for (int64_t l = 0; l < vocabulary_.symbols; ++l) {
    const double total = use_of(l).total;
    if (total == 0) continue;
    codes += vocabulary_.codes;
    const double least = 0.1 * total / static_cast<double>(vocabulary_.codes);
    const auto begin = counts_.begin() + l * vocabulary_.codes;
    busy += std::count_if(begin, begin + vocabulary_.codes,
                          [&](int64_t n) { return n > 0 && static_cast<double>(n) >= least; });
  }
  return codes > 0 ? static_cast<double>(busy) / static_cast<double>(codes) : 0.0;
}

double UsageHistogram::entropy_bits() const {
  double bits = 0;
  for (int64_t l = 0; l < vocabulary_.symbols; ++l) {
    const Use use = use_of(l);
    bits += use.total * use.entropy / std::numbers::ln2;
  }
  return bits;
}

double UsageHistogram::nominal_bits() const {
  double bits = 0;
  for (int64_t l = 0; l < vocabulary_.symbols; ++l)
    bits += use_of(l).total * std::log2(static_cast<double>(vocabulary_.codes));
  return bits;
}

int64_t UsageHistogram::used() const {
  return std::count_if(counts_.begin(), counts_.end(), [](int64_t n) { return n > 0; });
}

}  // namespace versor
