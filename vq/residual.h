// Residual quantization: every layer quantizes what those before it have left over,
//   r_0 = e,  q_l = Q_l(r_l),  r_(l+1) = r_l - sg[q_l],  q = sum over l of q_l.
// The estimator is applied once, to e and the sum: the encoder's gradient is that of one quantizer.
// (Where every layer passes its own straight-through gradient on and residuals are detached, it is
// multiplied by the number of layers.) Losses are the layers' means. Zeghidour et al.,
// "SoundStream: An End-to-End Neural Audio Codec" (2021), also for the dropout: in training a batch
// uses only its first j layers, j drawn uniformly from `fewest`..L, so that fewer symbols work too.
#pragma once

#include "tensor/rng.h"
#include "vq/composed.h"
#include "vq/estimators.h"

namespace versor {

struct ResidualOptions {
  int64_t layers = 2;    // L
  bool shared = false;   // one codebook for all layers
  bool dropout = false;  // of layers, in training
  int64_t fewest = 1;    // layers that dropout leaves
  Estimator estimator = Estimator::rotation;
};

class ResidualQuantizer final : public ComposedQuantizer {
 public:
  // Throws Error for an estimator that needs the gradient of a single code: gumbel, diveq.
  ResidualQuantizer(const ResidualOptions& options, const MakeQuantizer& make, Rng rng,
                    Device device);

  // The symbol of a layer that was dropped is -1, and nothing is counted for it.
  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {}) override;
  // A symbol -1 adds nothing.
  Tensor decode(const Tensor& index) const override;
  int64_t start_rows() const override { return part(0).start_rows(); }
  // Each layer starts from what the layers before it leave over. A shared codebook starts from the
  // latents, which says what its layers leave over, and then again from the vectors of all layers.
  void start_from(const Tensor& latents) override;
  std::vector<std::pair<std::string, Tensor>> counters() const override;
  bool capturable() const override { return !options_.dropout && ComposedQuantizer::capturable(); }

 private:
  int64_t layers_in(ForwardPass pass) const;  // how many are in use

  ResidualOptions options_;
  Rng rng_;
  Tensor steps_;  // i32 [1], in training: the draws of dropout follow from it
};

}  // namespace versor
