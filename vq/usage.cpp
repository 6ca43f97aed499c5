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
  const auto begin = counts_.begin() + symbol * alphabet_.codes, end = begin + alphabet_.codes;
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
  for (int64_t l = 0; l < alphabet_.symbols; ++l) entropy += use_of(l).entropy;
  return std::exp(entropy / static_cast<double>(alphabet_.symbols));
}

double UsageHistogram::usage() const {
  int64_t busy = 0;
  for (int64_t l = 0; l < alphabet_.symbols; ++l) {
    const double least = 0.1 * use_of(l).total / static_cast<double>(alphabet_.codes);
    const auto begin = counts_.begin() + l * alphabet_.codes;
    busy += std::count_if(begin, begin + alphabet_.codes,
                          [&](int64_t n) { return n > 0 && static_cast<double>(n) >= least; });
  }
  return static_cast<double>(busy) / static_cast<double>(counts_.size());
}

double UsageHistogram::entropy_bits() const {
  double bits = 0;
  for (int64_t l = 0; l < alphabet_.symbols; ++l) {
    const Use use = use_of(l);
    bits += use.total * use.entropy / std::numbers::ln2;
  }
  return bits;
}

double UsageHistogram::nominal_bits() const {
  double bits = 0;
  for (int64_t l = 0; l < alphabet_.symbols; ++l)
    bits += use_of(l).total * std::log2(static_cast<double>(alphabet_.codes));
  return bits;
}

int64_t UsageHistogram::used() const {
  return std::count_if(counts_.begin(), counts_.end(), [](int64_t n) { return n > 0; });
}

}  // namespace versor
