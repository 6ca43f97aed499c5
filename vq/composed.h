// What quantizers made of other quantizers share: their parts, and how symbols and losses of the
// parts become one.
#pragma once

#include "vq/quantizer.h"

namespace versor {

// The sum of what two updates replaced; undefined where neither could.
Tensor sum_of_replaced(const Tensor& a, const Tensor& b);

class ComposedQuantizer : public Quantizer {
 public:
  Vocabulary vocabulary() const override { return {symbols_per_part_ * uses_, codes_}; }
  // Each part from its passes; a shared one updates once, from what it saw in all uses.
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {}) override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;
  bool capturable() const override;

 protected:
  // `uses` parts, named "<name>.0", ...; or a single one, "<name>", that is used so many times.
  ComposedQuantizer(const char* name, int64_t uses, bool shared, const MakeQuantizer& make);

  int64_t uses() const { return uses_; }
  bool is_shared() const { return static_cast<int64_t>(parts_.size()) < uses_; }
  Quantizer& part(int64_t use) const {
    return *parts_[parts_.size() == 1 ? 0 : static_cast<size_t>(use)];
  }
  // The pass of one use. Those of a shared part draw different random numbers.
  Quantized pass_of(int64_t use, const Variable& e, ForwardPass pass) const;
  // Symbols one below the other, losses as means over the parts. Value, input, codes and error stay
  // open. Uses that are not there have the symbol -1.
  Quantized gathered(std::vector<Quantized> parts, ForwardPass pass, const Tensor& e) const;
  // The symbols of one use, i32 [L of the part, R].
  Tensor symbols_of(const Tensor& index, int64_t use) const;

 private:
  int64_t uses_;
  int64_t symbols_per_part_ = 1, codes_ = 1;
  std::vector<QuantizerPointer> parts_;
};

}  // namespace versor
