// What all quantizers that compare vectors with codes have in common: search, or a draw in
// training, the value by the gradient estimator, and the losses.
#pragma once

#include "tensor/rng.h"
#include "vq/estimators.h"
#include "vq/quantizer.h"

namespace versor {

class LookupQuantizer : public Quantizer {
 public:
  // Counts the draws of the passes.
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {}) override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;

 protected:
  LookupQuantizer(const EstimatorOptions& options, Rng rng, Device device);

  // z [R,d], codes [K,d]. Index, counts, value, both losses (none for diveq, which does without)
  // and the statistics; the auxiliary loss stays open.
  Quantized look_up(const Variable& z, const Variable& codes, ForwardPass pass) const;

  // The nearest code of every row, i32 [R]: a search. A quantizer whose codes lie in a regular
  // order can tell it without one.   z [R,d], codes [K,d].
  virtual Tensor nearest(const Tensor& z, const Tensor& codes) const;

 private:
  EstimatorOptions options_;
  Rng rng_;
  Tensor draws_;  // i32 [1]: how many there were; counted on the device, for captured steps
};

// The codes of one symbol, [K,d], to the vectors of i32 [1,R]: [R,d]. Throws Error for a symbol
// that is none of 0..K-1.
Tensor decode_symbol(const char* who, const Tensor& codes, const Tensor& index);

}  // namespace versor
