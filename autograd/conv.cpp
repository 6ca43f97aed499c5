// Convolution and transposed convolution with their gradients. Bias, residual and ReLU are fused
// into the convolution; backward, one pass adds the two terms of dy, applies the ReLU's mask and
// sums the bias's gradient, and the rest is the gradient of the linear part. Mixed precision: with
// activations in bf16 the f32 weights are rounded to bf16 for the products; the gradients of weight
// and bias are f32.
#include "autograd/functions.h"
#include "tensor/branch.h"
#include "tensor/ops.h"

namespace versor {
namespace {

Tensor value_or_none(const Variable& x) {
  return x.defined() ? x.value() : Tensor();
}

// Backward through the epilogue, from dy + skip; `mask` is the output y, undefined without a ReLU.
// dbias is undefined where it is not needed.
ops::BiasReluGrad before_epilogue(Tensor dy, Tensor skip, const Tensor& mask, bool need_bias) {
  if (need_bias && (skip.defined() || mask.defined()))
    return ops::bias_relu_grad(std::move(dy), std::move(skip), mask);
  if (skip.defined()) dy = ops::add(dy, skip);
  const Tensor dz = mask.defined() ? ops::relu_grad(std::move(dy), mask) : dy;
  return {dz, need_bias ? ops::sum_axis0(dz.flat_rows()) : Tensor()};
}

// The gradient of the weight, computed beside that of the input, which is called next.
Tensor grad_weight(const Tensor& x, const Tensor& dy, const Shape& weight,
                   const Conv2dParams& params) {
  return beside([=] { return ops::conv2d_grad_weight(x, dy, weight, params); });
}

}  // namespace

// y = act(conv(x, w) + b + residual). With dz = dy where the activation passes:
// dx = conv2d_grad_input(dz, w);  dw = conv2d_grad_weight(x, dz);  db[o] = sum of dz[...,o];
// dresidual = dz.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dParams& params, Activation activation, const Variable& residual) {
  const bool relu = activation == Activation::relu;
  const Tensor vx = x.value(), w = weight.value_as(vx.dtype());
  const Tensor y = ops::conv2d(vx, w, {value_or_none(bias), relu, value_or_none(residual)}, params);
  const auto backward = [=, mask = relu ? y : Tensor()](Tensor dy, Tensor skip,
                                                        const Needed& needed) {
    const auto [dz, dbias] = before_epilogue(std::move(dy), std::move(skip), mask, needed[2]);
    Tensor dx, dw;
    if (needed[1]) dw = grad_weight(vx, dz, w.shape(), params);
    if (needed[0]) dx = ops::conv2d_grad_input(dz, w, vx.shape(), params);
    return Gradients{dx, dw, dbias, dz};
  };
  return record("conv2d", y, {x, weight, bias, residual}, backward);
}

// y = act(conv_transpose(x, w) + b), where conv_transpose is conv2d_grad_input with x in place of
// dy. It is linear in both, so its gradients are the other two passes of that convolution:
// dx = conv2d(dz, w);  dw = conv2d_grad_weight(dz, x);  db[o] = sum of dz[...,o].
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const Conv2dParams& params, Activation activation) {
  const bool relu = activation == Activation::relu;
  const Tensor vx = x.value(), w = weight.value_as(vx.dtype());
  const Tensor y = ops::conv_transpose2d(vx, w, {value_or_none(bias), relu}, params);
  const auto backward = [=, mask = relu ? y : Tensor()](Tensor dy, Tensor skip,
                                                        const Needed& needed) {
    const auto [dz, dbias] = before_epilogue(std::move(dy), std::move(skip), mask, needed[2]);
    Tensor dx, dw;
    if (needed[1]) dw = grad_weight(dz, vx, w.shape(), params);
    if (needed[0]) dx = ops::conv2d(dz, w, {}, params);
    return Gradients{dx, dw, dbias};
  };
  return record("conv_transpose2d", y, {x, weight, bias}, backward);
}

}  // namespace versor
