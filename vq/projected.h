// A quantizer between two learned linear maps, one to fewer dimensions and one back. Short codes
// stay in use where long ones collapse, and grids (fsq.h, lfq.h) have few dimensions by nature.
//   value = W_out Q(W_in e + b_in) + b_out.   Yu et al., "Vector-quantized Image Modeling with
// Improved VQGAN" (2022), section 3.2.
#pragma once

#include "tensor/rng.h"
#include "vq/quantizer.h"

namespace versor {

class ProjectedQuantizer final : public Quantizer {
 public:
  // `inner` works on rows of `inner_latent` columns.
  ProjectedQuantizer(int64_t latent, int64_t inner_latent, QuantizerPointer inner, Rng rng,
                     Device device);

  // Losses and statistics are those of the inner quantizer.
  Quantized operator()(const Variable& e, ForwardPass pass) const override;
  Tensor decode(const Tensor& index) const override;
  Vocabulary vocabulary() const override { return inner_->vocabulary(); }
  int64_t start_rows() const override { return inner_->start_rows(); }
  void start_from(const Tensor& latents) override;
  Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                Communicator& communicator = alone()) override {
    return inner_->update(passes, guard, communicator);
  }
  std::vector<std::pair<std::string, Tensor>> counters() const override {
    return inner_->counters();
  }
  bool needs_batch_means() const override { return inner_->needs_batch_means(); }
  bool capturable() const override { return inner_->capturable(); }

 private:
  Variable in(const Variable& e) const;   // [R,D] -> [R,d]
  Variable out(const Variable& q) const;  // [R,d] -> [R,D]

  QuantizerPointer inner_;
  Variable in_weight_, in_bias_;    // [d,D], [d] "project_in.weight", "project_in.bias"
  Variable out_weight_, out_bias_;  // [D,d], [D] "project_out.weight", "project_out.bias"
};

}  // namespace versor
