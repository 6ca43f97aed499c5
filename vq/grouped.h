// Grouped (product, multi-head) quantization: the D columns are cut into G equal parts, each
// quantized by itself, with its own codebook or a shared one. G searches give K^G combinations.
// Jegou, Douze, Schmid, "Product Quantization for Nearest Neighbor Search" (2011).
#pragma once

#include "vq/composed.h"

namespace versor {

class GroupedQuantizer final : public ComposedQuantizer {
 public:
  // latent: D, a multiple of the number of groups; `make` returns quantizers of D / groups columns.
  GroupedQuantizer(int64_t latent, int64_t groups, bool shared, const MakeQuantizer& make);

  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override;
  int64_t start_rows() const override;
  // A shared codebook starts from the vectors of all groups.
  void start_from(const Tensor& latents) override;

 private:
  int64_t width_;  // columns of a group
};

}  // namespace versor
