// What quantizers made of other quantizers share: their parts, and how symbols and losses of the
// parts become one.
#pragma once

#include "vq/quantizer.h"

namespace versor {

// Adds a part's losses and replaced codes to those of a whole.
void add_part(Quantized& whole, const Quantized& part);

class ComposedQuantizer : public Quantizer {
 public:
  Alphabet alphabet() const override { return {symbols_per_part_ * uses_, codes_}; }
  void freeze(bool frozen) override;
  void accumulate(bool accumulating) override { accumulating_ = accumulating; }
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
  // The part's pass. A shared part updates once, in its last use, from what it saw in all uses.
  Quantized pass(int64_t use, bool last, const Variable& e, bool training, const Tensor& guard);
  // Symbols one below the other, losses as means over the parts; `replaced` as their sum. Value,
  // input, codes and error stay open. Uses that are not there have the symbol -1.
  Quantized gathered(const std::vector<Quantized>& of_parts, int64_t rows, Device device) const;
  // The symbols of one use, i32 [L of the part, R].
  Tensor symbols_of(const Tensor& index, int64_t use) const;

 private:
  int64_t uses_;
  bool accumulating_ = false;
  int64_t symbols_per_part_ = 1, codes_ = 1;
  std::vector<QuantizerPointer> parts_;
};

}  // namespace versor
