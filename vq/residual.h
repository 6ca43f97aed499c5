// Residual quantization: every layer quantizes the error that the layers before it left,
//   r_0 = e,  q_l = Q_l(r_l),  r_(l+1) = r_l - sg[q_l],  q = sum over l of q_l.
// The estimator is applied once, to e and the sum, so the encoder gets the gradient of one
// quantizer. (If every layer passed its own straight-through gradient on, with residuals detached,
// the encoder would get that gradient L times.) Losses are means over the layers. Zeghidour et al.,
// "SoundStream: An End-to-End Neural Audio Codec" (2021), also for layer dropout: in training a
// batch uses only the first j layers, j drawn uniformly from `fewest`..L, so that the decoder
// learns to work with fewer symbols.
#pragma once

#include "tensor/rng.h"
#include "vq/composed.h"
#include "vq/estimators.h"

namespace versor {

struct ResidualOptions {
  int64_t layers = 2;               // L
  bool shared = false;              // one codebook for all layers
  bool dropout = false;             // of layers, in training
  int64_t fewest = 1;               // layers that dropout keeps at least
  EstimatorOptions estimator = {};  // kind and origin
};

class ResidualQuantizer final : public ComposedQuantizer {
 public:
  // Throws Error for an estimator that needs the gradient of a single code, gumbel and diveq, and
  // for the origin `mean`.
  ResidualQuantizer(const ResidualOptions& options, const MakeQuantizer& make, Rng rng,
                    Device device);

  // A dropped layer has the symbol -1, which is not counted.
  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                Communicator& communicator = alone()) override;
  // A symbol of -1 adds nothing.
  Tensor decode(const Tensor& index) const override;
  int64_t start_rows() const override { return part(0).start_rows(); }
  // Each layer starts from the residuals of the layers before it. A shared codebook starts from the
  // latents first, which gives the residuals of its layers, and then again from the vectors of all
  // layers.
  void start_from(const Tensor& latents) override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;
  bool capturable() const override { return !options_.dropout && ComposedQuantizer::capturable(); }

 private:
  int64_t layers_in(ForwardPass pass) const;  // the number in use

  ResidualOptions options_;
  Rng rng_;
  Tensor steps_;  // i32 [1], counts the draws of dropout
};

}  // namespace versor
