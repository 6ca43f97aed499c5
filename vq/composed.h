// The base of quantizers that are made of other quantizers: holds the parts, and merges their
// symbols and losses.
#pragma once

#include "vq/quantizer.h"

namespace versor {

// The sum of two updates' numbers of replaced codes; undefined if both are.
Tensor sum_of_replaced(const Tensor& a, const Tensor& b);

class ComposedQuantizer : public Quantizer {
 public:
  Vocabulary vocabulary() const override { return {symbols_per_part_ * uses_, codes_}; }
  // Updates each part from its own passes; a shared part is updated once, from all its uses.
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                Communicator& communicator = alone()) override;
  bool needs_batch_means() const override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;
  bool capturable() const override;

 protected:
  // `uses` parts, named "<name>.0", ...; or, if shared, a single part "<name>" used `uses` times.
  ComposedQuantizer(const char* name, int64_t uses, bool shared, const MakeQuantizer& make);

  int64_t uses() const { return uses_; }
  bool is_shared() const { return static_cast<int64_t>(parts_.size()) < uses_; }
  Quantizer& part(int64_t use) const {
    return *parts_[parts_.size() == 1 ? 0 : static_cast<size_t>(use)];
  }
  // The forward pass of one use. The uses of a shared part draw different random numbers.
  Quantized pass_of(int64_t use, const Variable& e, ForwardPass pass) const;
  // Stacks the symbols of the parts and averages their losses. The caller sets value, input, codes
  // and error. A use that was left out has the symbol -1.
  Quantized gathered(std::vector<Quantized> parts, ForwardPass pass, const Tensor& e) const;
  // The symbols of one use, i32 [L of the part, R].
  Tensor symbols_of(const Tensor& index, int64_t use) const;

 private:
  int64_t uses_;
  int64_t symbols_per_part_ = 1, codes_ = 1;
  std::vector<QuantizerPointer> parts_;
};

}  // namespace versor
