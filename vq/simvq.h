// SimVQ: the codes are a frozen random table C under a learned linear map, c_k = W C_k. The
// gradient of any used code changes W and so moves all codes; none is left behind. Zhu, Li, Xin,
// Xu, "Addressing Representation Collapse in Vector Quantized Models with One Linear Layer" (2024).
#pragma once

#include "vq/lookup.h"

namespace versor {

class SimVectorQuantizer final : public LookupQuantizer {
 public:
  // codes: K; latent: D.
  SimVectorQuantizer(int64_t codes, int64_t latent, const EstimatorOptions& estimator, Rng rng,
                     Device device);

  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override;
  Vocabulary vocabulary() const override { return {1, table_.shape()[0]}; }

 private:
  Variable codes() const;  // [K,D]

  Variable table_;   // [K,D] "frozen", C, N(0, 1/D)
  Variable weight_;  // [D,D] "transform.weight", W
};

}  // namespace versor
