// Adam: see adam.h.
#include "nn/adam.h"

#include "tensor/ops.h"

namespace versor {
namespace {

constexpr int64_t kAlignment = 64;  // elements: every parameter starts at 256 bytes, for wide loads

Tensor view(const Tensor& flat, int64_t offset, const Shape& shape) {
  return flat.rows(offset, offset + shape.numel()).reshape(shape);
}

}  // namespace

Adam::Adam(std::vector<Variable> parameters, AdamParams params)
    : parameters_(std::move(parameters)), params_(params) {
  check(!parameters_.empty(), "adam", "there are no parameters");
  const Device device = parameters_[0].value().device();
  int64_t total = 0;
  for (const Variable& p : parameters_) {
    offsets_.push_back(total);
    total += (p.value().numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
  weights_ = ops::zeros({total}, device);
  moments1_ = ops::zeros({total}, device);
  moments2_ = ops::zeros({total}, device);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Shape shape = parameters_[i].shape();
    Tensor weight = view(weights_, offsets_[i], shape);
    ops::copy(weight, parameters_[i].value());
    parameters_[i].mutable_value() = weight;
    m_.push_back(view(moments1_, offsets_[i], shape));
    v_.push_back(view(moments2_, offsets_[i], shape));
  }
  step_ = ops::zeros({1}, device, DType::i32);
}

void Adam::step(const Tensor& guard) {
  ops::increment(step_);
  std::vector<AdamPart> parts;
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].grad().defined()) parts.push_back({parameters_[i].grad(), offsets_[i]});
  ops::adam(weights_, moments1_, moments2_, parts, step_, guard, params_);
}

void Adam::zero_grad() {
  for (Variable& p : parameters_) p.zero_grad();
}

}  // namespace versor
