// The base of all quantizers that compare vectors with codes: finds the nearest code or, in
// training, may draw one; applies the gradient estimator; computes the losses.
#pragma once

#include "tensor/rng.h"
#include "vq/estimators.h"
#include "vq/quantizer.h"

namespace versor {

class LookupQuantizer : public Quantizer {
 public:
  // Counts the draws of the passes.
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                Communicator& communicator = alone()) override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;

 protected:
  // keeps_mean: the quantizer overrides mean(). Throws Error for an origin `mean` if it does not.
  LookupQuantizer(const EstimatorOptions& options, Rng rng, Device device, bool keeps_mean = false);

  // z [R,d], codes [K,d]. Sets index, counts, value, both losses (diveq has none) and the
  // statistics. The caller adds the auxiliary loss.
  Quantized look_up(const Variable& z, const Variable& codes, ForwardPass pass) const;

  // The nearest code of every row, i32 [R], found by search. Quantizers whose codes form a grid
  // override it and compute the index directly.   z [R,d], codes [K,d].
  virtual Tensor nearest(const Tensor& z, const Tensor& codes) const;

  // The running mean of z, [d].
  virtual Tensor mean() const { return {}; }

 private:
  EstimatorOptions options_;
  Rng rng_;
  Tensor draws_;  // i32 [1]: draws so far, on the device so that steps can be captured
};

// The codes [K,d] that the symbols index, i32 [1,R], stand for: [R,d]. Throws Error for a symbol
// outside 0..K-1.
Tensor decode_symbol(const char* who, const Tensor& codes, const Tensor& index);

}  // namespace versor
