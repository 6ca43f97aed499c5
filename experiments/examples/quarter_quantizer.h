// A quantizer of one's own, used by own_quantizer.cpp and tested in
// tests/vq/test_custom_quantizer.cpp.
#pragma once

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/estimators.h"
#include "vq/ops.h"
#include "vq/quantizer.h"

namespace versor {

// Rounds every latent to a multiple of 1/4 in [0, 4): D symbols per row, 16 values of each.
class QuarterQuantizer final : public Quantizer {
 public:
  QuarterQuantizer(int64_t latent, Device device) : latent_(latent) {
    std::vector<float> levels;
    for (int k = 0; k < 16; ++k) levels.push_back(static_cast<float>(k) / 4);
    levels_ = Tensor::from(levels, {16, 1}, device);
  }

  Quantized operator()(const Variable& e, ForwardPass) const override {
    const int64_t rows = e.shape()[0];
    // Every latent by itself, one column of e after the other: the nearest of the 16 levels.
    const Tensor latents = ops::permute(e.value(), {1, 0}).reshape({rows * latent_, 1});
    Quantized out;
    out.index = vq::nearest_code(latents, levels_).reshape({latent_, rows});
    out.counts = Tensor({latent_, 16}, DType::i32, e.value().device());
    for (int64_t d = 0; d < latent_; ++d) {
      Tensor counts = out.counts.rows(d, d + 1).reshape({16});
      ops::copy(counts, ops::bincount(out.index.rows(d, d + 1).reshape({rows}), 16));
    }
    out.input = e.value();
    out.codes = decode(out.index);
    out.value = pass_through(e, out.codes, Estimator::ste);  // e gets the gradient of the value
    out.commitment_loss = mse(e, Variable(out.codes));       // and stays within [0, 4)
    out.error = out.commitment_loss.value();
    return out;
  }
  Tensor decode(const Tensor& index) const override {
    const Tensor latents = ops::gather_rows(levels_, index.reshape({index.numel()}));
    return ops::permute(latents.reshape({latent_, index.dim(1)}), {1, 0});
  }
  Vocabulary vocabulary() const override { return {latent_, 16}; }

 private:
  int64_t latent_;
  Tensor levels_;  // [16,1]
};

}  // namespace versor
