// How the codes of a codebook are used, from a histogram of indices: over a batch (the paper's
// perplexity) or over a data set.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

class UsageHistogram {
 public:
  explicit UsageHistogram(int64_t codes) : counts_(static_cast<size_t>(codes), 0) {}

  void add(const Tensor& counts);  // i32 [K]

  double perplexity() const;  // exp(-sum p log p); 1 if nothing was counted
  double usage() const;       // share of codes with at least 10 % of the uniform count
  int64_t used() const;       // codes counted at least once
  std::vector<int64_t>& counts() { return counts_; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  std::vector<int64_t> counts_;
};

}  // namespace versor
