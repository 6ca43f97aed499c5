// Usage of a codebook: see usage.h.
#include "vq/usage.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace versor {

void UsageHistogram::add(const Tensor& counts) {
  const auto batch = counts.to_vector<int32_t>();
  check(batch.size() == counts_.size(), "usage", "histogram of ", counts_.size(),
        " codes cannot take counts ", counts.shape());
  for (size_t k = 0; k < batch.size(); ++k) counts_[k] += batch[k];
}

double UsageHistogram::perplexity() const {
  const double sum = std::accumulate(counts_.begin(), counts_.end(), 0.0);
  double entropy = 0;
  for (int64_t n : counts_)
    if (n > 0) entropy -= static_cast<double>(n) / sum * std::log(static_cast<double>(n) / sum);
  return std::exp(entropy);
}

double UsageHistogram::usage() const {
  const double sum = std::accumulate(counts_.begin(), counts_.end(), 0.0);
  const double least = 0.1 * sum / static_cast<double>(counts_.size());
  const auto busy = std::count_if(counts_.begin(), counts_.end(), [&](int64_t n) {
    return n > 0 && static_cast<double>(n) >= least;
  });
  return static_cast<double>(busy) / static_cast<double>(counts_.size());
}

int64_t UsageHistogram::used() const {
  return std::count_if(counts_.begin(), counts_.end(), [](int64_t n) { return n > 0; });
}

}  // namespace versor
