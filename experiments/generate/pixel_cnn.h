// The gated PixelCNN (van den Oord et al., "Conditional Image Generation with PixelCNN Decoders",
// 2016), the prior of the first VQ-VAE: convolutions whose weights are 0 where they would see the
// symbol that is predicted or later ones. A vertical stack sees the rows above, a horizontal one
// the row itself to the left:
//   v <- gate(vertical(v) + class),  h <- h + mix(gate(horizontal(h) + link(vertical(v)) + class)),
//   gate(a, b) = tanh(a) sigmoid(b),
// then two 1x1 convolutions to the logits. In the first layer the vertical stack leaves out the
// row itself, the horizontal one the symbol itself, and its result replaces h.
// One level with one symbol for each latent.
#pragma once

#include "experiments/generate/prior.h"

namespace versor {

struct PixelCnnOptions {
  int64_t layers = 8, width = 64, classes = 0;
};

class GatedPixelCnn final : public Prior {
 public:
  // Throws Error for several levels or several symbols for each latent.
  GatedPixelCnn(SymbolSequence sequence, const PixelCnnOptions& options, Rng rng, Device device);
  ~GatedPixelCnn() override;

  std::vector<Variable> operator()(const Tensor& sequences,
                                   const std::vector<int32_t>& labels) const override;
  std::unique_ptr<Steps> begin(int64_t images) const override;  // a whole pass for each symbol
  nlohmann::ordered_json config() const override;

 private:
  class Layer;
  class WholePasses;

  PixelCnnOptions options_;
  Device device_;
  Variable tokens_;  // [K,W]
  std::vector<std::unique_ptr<Layer>> layers_;
  Conv2d hidden_, head_;  // 1x1: W -> W, W -> K
};

}  // namespace versor
