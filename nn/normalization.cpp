// Normalisation and dropout: see normalization.h.
#include "nn/normalization.h"

#include "tensor/ops.h"

namespace versor {

LayerNorm::LayerNorm(int64_t size, Device device, float eps) : eps_(eps) {
  weight_ = register_parameter("weight", ops::full({size}, 1.f, device));
  bias_ = register_parameter("bias", ops::zeros({size}, device));
}

Variable LayerNorm::operator()(const Variable& x) const {
  return layer_norm(x, weight_, bias_, eps_);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, Device device, float eps)
    : groups_(groups), eps_(eps) {
  weight_ = register_parameter("weight", ops::full({channels}, 1.f, device));
  bias_ = register_parameter("bias", ops::zeros({channels}, device));
}

Variable GroupNorm::operator()(const Variable& x) const {
  return group_norm(x, weight_, bias_, groups_, eps_);
}

BatchNorm2d::BatchNorm2d(int64_t channels, Device device, float eps, float momentum)
    : eps_(eps), momentum_(momentum) {
  weight_ = register_parameter("weight", ops::full({channels}, 1.f, device));
  bias_ = register_parameter("bias", ops::zeros({channels}, device));
  running_mean_ = register_buffer("running_mean", ops::zeros({channels}, device));
  running_var_ = register_buffer("running_var", ops::full({channels}, 1.f, device));
  num_batches_tracked_ = register_buffer("num_batches_tracked", ops::zeros({}, device, DType::i32));
}

// The whole batch is one image with a group for each channel.
Variable BatchNorm2d::operator()(const Variable& x) const {
  check(x.shape().rank() == 4, "batch_norm", "needs images [N,H,W,C], got ", x.shape());
  if (!training()) {
    const Variable deviation = sqrt(add_scalar(running_var_, eps_)), factor = weight_ / deviation;
    return add_bias(scale_columns(x, factor), bias_ - running_mean_ * factor);
  }
  const int64_t N = x.shape()[0], H = x.shape()[1], W = x.shape()[2], C = x.shape()[3];
  check(N * H * W > 1, "batch_norm", "one pixel has no variance to train with, got ", x.shape());
  Tensor statistics;
  const Variable y = group_norm(reshape(x, {1, N * H, W, C}), weight_, bias_, C, eps_, &statistics);
  track(statistics, static_cast<double>(N * H * W));
  return reshape(y, x.shape());
}

// statistics [2,1,C]: mean and 1 / sqrt(variance + eps), of the variance that divides by `pixels`.
void BatchNorm2d::track(const Tensor& statistics, double pixels) const {
  const Shape channels = weight_.shape();
  const Tensor scale = statistics.rows(1, 2).reshape(channels);
  const Tensor ones = ops::full(channels, 1.f, scale.device());
  const Tensor with_eps = ops::binary(ones, ops::mul(scale, scale), BinaryOp::div);
  const double unbiased = pixels / (pixels - 1);
  const auto move = [&](Variable average, const Tensor& towards) {
    ops::copy(average.mutable_value(),
              ops::add(ops::scaled(average.value(), 1.f - momentum_), towards));
  };
  move(running_mean_, ops::scaled(statistics.rows(0, 1).reshape(channels), momentum_));
  move(running_var_, ops::affine(with_eps, static_cast<float>(momentum_ * unbiased),
                                 static_cast<float>(-momentum_ * unbiased * eps_)));
  Variable counter = num_batches_tracked_;
  ops::increment(counter.mutable_value());
}

Dropout::Dropout(float p, Rng rng, Device device)
    : p_(p), rng_(rng), counter_(ops::zeros({1}, device, DType::i32)) {
  check(p >= 0 && p < 1, "dropout", "the probability ", p, " is not in [0,1)");
}

Variable Dropout::operator()(const Variable& x) const {
  if (!training() || p_ == 0) return x;
  const Tensor draw = ops::clone(counter_);
  Tensor counter = counter_;
  ops::increment(counter);
  return dropout(x, draw, rng_, p_);
}

}  // namespace versor
