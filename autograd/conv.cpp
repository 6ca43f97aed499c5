// Convolution and transposed convolution with their gradients. Bias and ReLU are fused into the
// convolution; backward, the ReLU's mask is applied to dy first, and the rest is the gradient of
// the linear part.
// Mixed precision: with activations in bf16 the f32 weights are rounded to bf16 for the products;
// the gradients of weight and bias are f32.
#include "autograd/functions.h"
#include "tensor/branch.h"
#include "tensor/ops.h"

namespace versor {
namespace {

Epilogue epilogue_of(const Variable& bias, Activation activation) {
  return {bias.defined() ? bias.value() : Tensor(), activation == Activation::relu};
}

Tensor in_type_of(const Tensor& x, const Tensor& weight) {
  return weight.dtype() == x.dtype() ? weight : ops::cast(weight, x.dtype());
}

// The inputs: x, weight and, where there is one, bias.
std::vector<Variable> inputs_of(const Variable& x, const Variable& weight, const Variable& bias) {
  if (bias.defined()) return {x, weight, bias};
  return {x, weight};
}

// Backward through bias and activation; `mask` is the output y, undefined without a ReLU. dbias is
// undefined unless there is a bias that needs a gradient.
ops::BiasReluGrad before_epilogue(Tensor dy, const Tensor& mask, const Needed& needed) {
  const bool need_bias = needed.size() == 3 && needed[2];
  if (mask.defined() && need_bias) return ops::bias_relu_grad(std::move(dy), mask);
  const Tensor dz = mask.defined() ? ops::relu_grad(std::move(dy), mask) : dy;
  return {dz, need_bias ? ops::sum_axis0(dz.flat_rows()) : Tensor()};
}

// The gradient of the weight, computed beside that of the input, which is called next.
Tensor grad_weight(const Tensor& x, const Tensor& dy, const Shape& weight,
                   const Conv2dParams& params) {
  return beside([=] { return ops::conv2d_grad_weight(x, dy, weight, params); });
}

// The gradients of x, weight and, where there is one, bias.
Gradients of_inputs(const Tensor& dx, const Tensor& dweight, const Tensor& dbias,
                    const Needed& needed) {
  if (needed.size() == 3) return {dx, dweight, dbias};
  return {dx, dweight};
}

}  // namespace

// y = act(conv(x, w) + b). With dz = dy where the activation passes:
// dx = conv2d_grad_input(dz, w);  dw = conv2d_grad_weight(x, dz);  db[o] = sum of dz[...,o].
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dParams& params, Activation activation) {
  const Tensor vx = x.value(), w = in_type_of(vx, weight.value());
  const Tensor y = ops::conv2d(vx, w, epilogue_of(bias, activation), params);
  const Tensor mask = activation == Activation::relu ? y : Tensor();
  return record("conv2d", y, inputs_of(x, weight, bias), [=](Tensor dy, const Needed& needed) {
    const auto [dz, dbias] = before_epilogue(std::move(dy), mask, needed);
    Tensor dx, dw;
    if (needed[1]) dw = grad_weight(vx, dz, w.shape(), params);
    if (needed[0]) dx = ops::conv2d_grad_input(dz, w, vx.shape(), params);
    return of_inputs(dx, dw, dbias, needed);
  });
}

// y = act(conv_transpose(x, w) + b), where conv_transpose is conv2d_grad_input with x in place of
// dy. It is linear in both, so its gradients are the other two passes of that convolution:
// dx = conv2d(dz, w);  dw = conv2d_grad_weight(dz, x);  db[o] = sum of dz[...,o].
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const Conv2dParams& params, Activation activation) {
  const Tensor vx = x.value(), w = in_type_of(vx, weight.value());
  const Tensor y = ops::conv_transpose2d(vx, w, epilogue_of(bias, activation), params);
  const Tensor mask = activation == Activation::relu ? y : Tensor();
  const auto inputs = inputs_of(x, weight, bias);
  return record("conv_transpose2d", y, inputs, [=](Tensor dy, const Needed& needed) {
    const auto [dz, dbias] = before_epilogue(std::move(dy), mask, needed);
    Tensor dx, dw;
    if (needed[1]) dw = grad_weight(dz, vx, w.shape(), params);
    if (needed[0]) dx = ops::conv2d(dz, w, {}, params);
    return of_inputs(dx, dw, dbias, needed);
  });
}

}  // namespace versor
