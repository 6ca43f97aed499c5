// How evenly the codes of a codebook are used, from a histogram of indices over a whole data set.
// vq::perplexity (ops.h) is the same figure of one batch, the paper's.
#pragma once

#include <cstdint>
#include <vector>

#include "vq/quantizer.h"

namespace versor {

class UsageHistogram {
 public:
  explicit UsageHistogram(const Vocabulary& vocabulary)
      : vocabulary_(vocabulary),
        counts_(static_cast<size_t>(vocabulary.symbols * vocabulary.codes), 0) {}

  void add(const Tensor& counts);  // i32 [L,K] or [K]

  // Symbols without a single count (layers that dropout left out every time) are not part of the
  // means; where nothing was counted perplexity is 1 and usage 0.
  // exp(-sum p log p); of several symbols the geometric mean.
  double perplexity() const;
  // Share of codes with at least 10 % of the uniform count of their symbol.
  double usage() const;
  int64_t used() const;  // codes counted at least once, of all symbols
  // Bits of everything that was counted: at the entropy of each symbol, which is what an ideal
  // entropy coder needs, and at log2 K per symbol.
  double entropy_bits() const;
  double nominal_bits() const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::vector<int64_t>& counts() { return counts_; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  // Entropy in nats and number of vectors of one symbol.
  struct Use {
    double entropy = 0, total = 0;
  };
  Use use_of(int64_t symbol) const;

  Vocabulary vocabulary_;
  std::vector<int64_t> counts_;  // L*K
};

}  // namespace versor
