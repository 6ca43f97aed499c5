// Layers: see layers.h.
#include "nn/layers.h"

#include "nn/init.h"
#include "tensor/ops.h"

namespace versor {

Conv2d::Conv2d(const ConvOptions& o, Rng rng, Device device) : options_(o) {
  const Shape shape{o.out, o.kernel, o.kernel, o.in};
  weight_ =
      register_parameter("weight", fan_in_uniform(shape, fan_in(shape), rng.split(0), device));
  bias_ = register_parameter("bias", fan_in_uniform({o.out}, fan_in(shape), rng.split(1), device));
}

Variable Conv2d::operator()(const Variable& x) const {
  return (*this)(x, {});
}

Variable Conv2d::operator()(const Variable& x, const Variable& residual) const {
  return conv2d(x, weight_, bias_, {options_.stride, options_.padding}, options_.activation,
                residual);
}

ConvTranspose2d::ConvTranspose2d(const ConvOptions& o, Rng rng, Device device) : options_(o) {
  const Shape shape{o.in, o.kernel, o.kernel, o.out};
  weight_ =
      register_parameter("weight", fan_in_uniform(shape, fan_in(shape), rng.split(0), device));
  bias_ = register_parameter("bias", fan_in_uniform({o.out}, fan_in(shape), rng.split(1), device));
}

Variable ConvTranspose2d::operator()(const Variable& x) const {
  return conv_transpose2d(x, weight_, bias_, {options_.stride, options_.padding},
                          options_.activation);
}

Linear::Linear(int64_t in, int64_t out, Rng rng, Device device) {
  weight_ = register_parameter("weight", fan_in_uniform({out, in}, in, rng.split(0), device));
  bias_ = register_parameter("bias", fan_in_uniform({out}, in, rng.split(1), device));
}

Variable Linear::operator()(const Variable& x) const {
  if (x.shape().rank() <= 2) return linear(x, weight_, bias_);
  std::vector<int64_t> extents(x.shape().begin(), x.shape().end());
  extents.back() = weight_.shape()[0];
  return reshape(linear(rows(x), weight_, bias_), Shape(std::span<const int64_t>(extents)));
}

Embedding::Embedding(int64_t count, int64_t size, Rng rng, Device device) {
  weight_ = register_parameter("weight", ops::normal({count, size}, rng, device));
}

Variable Embedding::operator()(const Tensor& index) const {
  std::vector<int64_t> extents(index.shape().begin(), index.shape().end());
  extents.push_back(weight_.shape()[1]);
  return reshape(gather_rows(weight_, index), Shape(std::span<const int64_t>(extents)));
}

Variable flatten(const Variable& x) {
  check(x.shape().rank() >= 1 && x.shape().numel() > 0, "flatten", "needs [N,...], got ",
        x.shape());
  return reshape(x, {x.shape()[0], x.shape().numel() / x.shape()[0]});
}

Variable global_avg_pool2d(const Variable& x) {
  check(x.shape().rank() == 4, "global_avg_pool2d", "needs images [N,H,W,C], got ", x.shape());
  return mean(x, {1, 2});
}

ResidualBlock::ResidualBlock(int64_t in, int64_t out, Rng rng, Device device)
    : conv1_({.in = in, .out = out, .kernel = 3, .padding = 1, .activation = Activation::relu},
             rng.split(0), device),
      conv2_({.in = out, .out = out, .kernel = 3, .padding = 1, .activation = Activation::relu},
             rng.split(1), device) {
  register_module("conv1", conv1_);
  register_module("conv2", conv2_);
  if (in == out) return;
  proj_ = std::make_unique<Conv2d>(ConvOptions{.in = in, .out = out, .kernel = 1}, rng.split(2),
                                   device);
  register_module("proj", *proj_);
}

Variable ResidualBlock::operator()(const Variable& x) const {
  const Variable shortcut = proj_ ? (*proj_)(x) : x;
  return conv2_(conv1_(x), shortcut);
}

}  // namespace versor
