// Group normalisation and its derivative.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y = x^ weight + bias, with x^ = (x - mean) / sqrt(variance + eps) over every group of an image;
// dx = (weight dy - mean of (weight dy) - x^ mean of (weight dy x^)) / sqrt(variance + eps),
// dweight[c] = sum of dy[...,c] x^[...,c], dbias[c] = sum of dy[...,c].
Variable group_norm(const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
                    float eps, Tensor* kept) {
  const Tensor vx = x.value(), w = weight.value();
  const ops::GroupNorm out = ops::group_norm(vx, w, bias.value(), groups, eps);
  const Tensor statistics = out.statistics;
  if (kept != nullptr) *kept = statistics;
  const auto backward = [=](Tensor dy, const Needed& needed) {
    const Tensor sums = ops::group_norm_sums(dy, vx, statistics);
    const auto sum_over_images = [&](int which) {
      return ops::sum_axis0(sums.rows(which, which + 1).reshape({vx.dim(0), vx.dim(3)}));
    };
    return Gradients{
        needed[0] ? ops::group_norm_grad(std::move(dy), vx, w, statistics, sums) : Tensor(),
        needed[1] ? sum_over_images(1) : Tensor(), needed[2] ? sum_over_images(0) : Tensor()};
  };
  return record("group_norm", out.y, {x, weight, bias}, backward);
}

// A row is an image of one pixel with one group.
Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, float eps) {
  const Shape r = x.value().flat_rows().shape();
  return reshape(group_norm(reshape(x, {r[0], 1, 1, r[1]}), weight, bias, 1, eps), x.shape());
}

}  // namespace versor
