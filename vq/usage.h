// How evenly the codes are used, from a histogram of indices over a whole data set. The paper's
// perplexity is that of a single batch: vq::perplexity (ops.h).
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

  // Symbols that were never counted (layers dropped every time) are left out of the means. If
  // nothing was counted, perplexity is 1 and usage 0.

  // exp(-sum p log p); with several symbols, the geometric mean.
  double perplexity() const;
  // The fraction of codes with at least 10 % of the uniform count of their symbol.
  double usage() const;
  int64_t used() const;  // codes counted at least once, of all symbols
  // The size in bits of everything that was counted: with an ideal entropy coder for each symbol,
  // and with log2 K bits per symbol.
  double entropy_bits() const;
  double nominal_bits() const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::vector<int64_t>& counts() { return counts_; }
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  // The entropy in nats of one symbol, and the number of vectors counted.
  struct Use {
    double entropy = 0, total = 0;
  };
  Use use_of(int64_t symbol) const;

  Vocabulary vocabulary_;
  std::vector<int64_t> counts_;  // L*K
};

}  // namespace versor
