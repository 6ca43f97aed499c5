// Front end of the convolutions: see ops.h and backend.h. A transposed convolution is the input
// gradient of a convolution, used as a forward pass; there is no primitive of its own for it.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {
namespace {

void check_weight(const char* op, const Shape& weight) {
  check(weight.numel() > 0, op, "kernel is empty (weight ", weight, ")");
}

// Shapes of x, weight and y of a convolution; `op` is named in the errors.
void check_conv(const char* op, const Shape& x, const Shape& weight, const Conv2dParams& p) {
  check(x.rank() == 4 && weight.rank() == 4, op, "needs images [N,H,W,C] and weight [O,kh,kw,I], ",
        "got input ", x, ", weight ", weight);
  check(p.stride >= 1 && p.padding >= 0, op, "stride ", p.stride, " and padding ", p.padding,
        " must be at least 1 and 0");
  check_weight(op, weight);
  check(x[3] == weight[3], op, "input channels ", x[3], " do not match weight channels ", weight[3],
        " (input ", x, ", weight ", weight, ")");
  check(x[1] + 2 * p.padding >= weight[1] && x[2] + 2 * p.padding >= weight[2], op,
        "kernel does not fit into the padded input (input ", x, ", weight ", weight, ", padding ",
        p.padding, ")");
}

void check_epilogue(const char* op, const Epilogue& e, int64_t channels, const Tensor& x) {
  if (!e.bias.defined()) return;
  same_device(op, {&x, &e.bias});
  check(e.bias.shape() == Shape{channels}, op, "bias ", e.bias.shape(), " does not match ",
        channels, " output channels");
  check_dtype(op, e.bias, DType::f32);
}

Shape conv_output(const Shape& x, const Shape& weight, const Conv2dParams& p) {
  return {x[0], p.out_size(x[1], weight[1]), p.out_size(x[2], weight[2]), weight[0]};
}

// Multiplications and additions of a convolution, counted from its output.
double conv_flops(const Shape& y, const Shape& weight) {
  return 2.0 * static_cast<double>(y.numel()) * static_cast<double>(weight.numel() / weight[0]);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
              const Conv2dParams& params) {
  Backend& backend = same_device("conv2d", {&x, &weight});
  check_float("conv2d", {&x, &weight});
  check_conv("conv2d", x.shape(), weight.shape(), params);
  check_epilogue("conv2d", epilogue, weight.dim(0), x);
  Tensor y(conv_output(x.shape(), weight.shape(), params), x.dtype(), x.device());
  const Tensor& residual = epilogue.residual;
  if (residual.defined()) {
    same_device("conv2d", {&x, &residual});
    check_float("conv2d", {&x, &residual});
    check_same_shape("conv2d", y, residual);
  }
  TraceScope trace("conv2d", backend, conv_flops(y.shape(), weight.shape()),
                   {&y, &x, &weight, &residual});
  trace.run(backend, &Backend::conv2d, y, x, weight, epilogue, params);
  return y;
}

Tensor conv2d_grad_input(const Tensor& dy, const Tensor& weight, Shape input,
                         const Conv2dParams& params) {
  Backend& backend = same_device("conv2d_grad_input", {&dy, &weight});
  check_float("conv2d_grad_input", {&dy, &weight});
  check_conv("conv2d_grad_input", input, weight.shape(), params);
  check(dy.shape() == conv_output(input, weight.shape(), params), "conv2d_grad_input",
        "output gradient ", dy.shape(), " is not ", conv_output(input, weight.shape(), params),
        " (input ", input, ", weight ", weight.shape(), ")");
  Tensor dx(input, dy.dtype(), dy.device());
  TraceScope trace("conv2d_grad_input", backend, conv_flops(dy.shape(), weight.shape()),
                   {&dx, &dy, &weight});
  trace.run(backend, &Backend::conv2d_grad_input, dx, dy, weight, {}, params);
  return dx;
}

Tensor conv2d_grad_weight(const Tensor& x, const Tensor& dy, Shape weight,
                          const Conv2dParams& params) {
  Backend& backend = same_device("conv2d_grad_weight", {&x, &dy});
  check_float("conv2d_grad_weight", {&x, &dy});
  check_conv("conv2d_grad_weight", x.shape(), weight, params);
  check(dy.shape() == conv_output(x.shape(), weight, params), "conv2d_grad_weight",
        "output gradient ", dy.shape(), " is not ", conv_output(x.shape(), weight, params),
        " (input ", x.shape(), ", weight ", weight, ")");
  Tensor dweight(weight, DType::f32, x.device());
  TraceScope trace("conv2d_grad_weight", backend, conv_flops(dy.shape(), weight),
                   {&dweight, &x, &dy});
  trace.run(backend, &Backend::conv2d_grad_weight, dweight, x, dy, params);
  return dweight;
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                        const Conv2dParams& params) {
  Backend& backend = same_device("conv_transpose2d", {&x, &weight});
  check_float("conv_transpose2d", {&x, &weight});
  check(x.shape().rank() == 4 && weight.shape().rank() == 4, "conv_transpose2d",
        "needs images [N,H,W,I] and weight [I,kh,kw,O], got input ", x.shape(), ", weight ",
        weight.shape());
  check(x.dim(3) == weight.dim(0), "conv_transpose2d", "input channels ", x.dim(3),
        " do not match weight channels ", weight.dim(0), " (input ", x.shape(), ", weight ",
        weight.shape(), ")");
  check_weight("conv_transpose2d", weight.shape());
  const int64_t height = params.transposed_size(x.dim(1), weight.dim(1));
  const int64_t width = params.transposed_size(x.dim(2), weight.dim(2));
  check(params.stride >= 1 && params.padding >= 0 && height > 0 && width > 0, "conv_transpose2d",
        "stride ", params.stride, " and padding ", params.padding, " leave no output (input ",
        x.shape(), ", weight ", weight.shape(), ")");
  check_epilogue("conv_transpose2d", epilogue, weight.dim(3), x);
  check(!epilogue.residual.defined(), "conv_transpose2d", "takes no residual");
  Tensor y({x.dim(0), height, width, weight.dim(3)}, x.dtype(), x.device());
  TraceScope trace("conv_transpose2d", backend, conv_flops(x.shape(), weight.shape()),
                   {&y, &x, &weight});
  trace.run(backend, &Backend::conv2d_grad_input, y, x, weight, epilogue, params);
  return y;
}

}  // namespace versor::ops
