// The convolutions of the table of cases: a grid of strides and paddings, the corner cases, and the
// layers of the model. See cases.h.
#include "tests/cases.h"

namespace versor::testing {

using ref::Array;

namespace {

// Stride 1..3 and padding 0..2 for a 3x3 kernel, with and without bias and ReLU in turn.
std::vector<ConvCase> grid(int64_t H, int64_t W) {
  std::vector<ConvCase> cases;
  for (int64_t stride : {1, 2, 3})
    for (int64_t padding : {0, 1, 2}) {
      const int64_t i = 3 * stride + padding;
      cases.push_back({"stride " + std::to_string(stride) + " padding " + std::to_string(padding),
                       2, H, W, 3, 4, 3, 3, stride, padding, i % 2 == 0, i % 3 == 0});
    }
  return cases;
}

Array bias_of(const ConvCase& c, const Arrays& x) {
  return c.bias ? x[2] : Array{};
}

Array with_activation(const ConvCase& c, const Array& y) {
  return c.relu ? ref::relu(y) : y;
}

// dy where the activation passes it.
Array before_activation(const ConvCase& c, const Array& dy, const Array& y) {
  return c.relu ? ref::relu_grad(dy, y) : dy;
}

OperationCase common(const char* function, const ConvCase& c, const Shape& weight,
                     DType activations) {
  OperationCase result;
  result.name = std::string(function) + ", " + c.name + (c.bias ? " +bias" : "") +
                (c.residual ? " +residual" : "") + (c.relu ? " +relu" : "");
  if (activations != DType::f32) result.name += str(" ", activations);
  result.inputs = {{c.input()}, {weight}};
  if (c.bias) result.inputs.push_back({{c.O}});
  if (c.residual) result.inputs.push_back({c.output()});
  return result;
}

OperationCase convolution(const ConvCase& c, DType activations) {
  OperationCase result = common("conv2d", c, c.weight(), activations);
  const auto reference = [c](const Arrays& x) {
    const Array y = ref::conv2d(x[0], x[1], bias_of(c, x), c.stride, c.padding);
    return with_activation(c, c.residual ? ref::add(y, x[3]) : y);
  };
  result.forward = [c, activations](const Variables& x) {
    const Variable y = conv2d(cast(x[0], activations), x[1], c.bias ? x[2] : Variable(), c.params(),
                              c.relu ? Activation::relu : Activation::none,
                              c.residual ? cast(x[3], activations) : Variable());
    return cast(y, DType::f32);
  };
  result.reference = reference;
  result.reference_grad = [c, reference](const Array& dy, const Arrays& x) {
    const Array dz = before_activation(c, dy, reference(x));
    Arrays d{ref::conv2d_grad_input(dz, x[1], x[0].shape, c.stride, c.padding),
             ref::conv2d_grad_weight(x[0], dz, x[1].shape, c.stride, c.padding)};
    if (c.bias) d.push_back(ref::conv2d_grad_bias(dz));
    if (c.residual) d.push_back(dz);
    return d;
  };
  return result;
}

OperationCase transposed(const ConvCase& c, DType activations) {
  OperationCase result = common("conv_transpose2d", c, c.transposed_weight(), activations);
  const auto reference = [c](const Arrays& x) {
    return with_activation(c,
                           ref::conv_transpose2d(x[0], x[1], bias_of(c, x), c.stride, c.padding));
  };
  result.forward = [c, activations](const Variables& x) {
    const Variable y = conv_transpose2d(cast(x[0], activations), x[1], c.bias ? x[2] : Variable(),
                                        c.params(), c.relu ? Activation::relu : Activation::none);
    return cast(y, DType::f32);
  };
  result.reference = reference;
  result.reference_grad = [c, reference](const Array& dy, const Arrays& x) {
    const Array dz = before_activation(c, dy, reference(x));
    Arrays d{ref::conv_transpose2d_grad_input(dz, x[1], x[0].shape, c.stride, c.padding),
             ref::conv_transpose2d_grad_weight(x[0], dz, x[1].shape, c.stride, c.padding)};
    if (c.bias) d.push_back(ref::conv_transpose2d_grad_bias(dz));
    return d;
  };
  return result;
}

}  // namespace

std::vector<ConvCase> conv_cases() {
  std::vector<ConvCase> cases = grid(7, 10);
  for (const ConvCase& c : std::vector<ConvCase>{
           // name, N, H, W, I, O, kh, kw, stride, padding, bias, relu
           {"one pixel, one channel", 1, 1, 1, 1, 1, 1, 1, 1, 0},
           {"1x1", 3, 5, 4, 6, 5, 1, 1, 1, 0, true, false},
           {"1x1 stride 2", 2, 7, 5, 3, 4, 1, 1, 2, 0, true, true},
           {"1x1 padding 1", 2, 3, 4, 3, 2, 1, 1, 1, 1, true, false},
           {"one channel", 1, 9, 9, 1, 1, 3, 3, 1, 1, true, true},
           {"one channel to many", 2, 5, 6, 1, 17, 3, 3, 1, 1},
           {"many channels to one", 2, 5, 6, 17, 1, 3, 3, 1, 1, true, false},
           {"kernel as large as the image", 3, 6, 5, 4, 7, 6, 5, 1, 0, true, false},
           {"kernel as large as the padded image", 2, 2, 3, 3, 4, 4, 5, 1, 1},
           {"kernel 2x5", 2, 8, 7, 3, 4, 2, 5, 1, 2, true, true},
           {"kernel 5x1 stride 3", 2, 11, 6, 3, 4, 5, 1, 3, 0},
           {"stride larger than the kernel", 2, 8, 10, 3, 4, 2, 2, 3, 0, true, false},
           {"last rows unused", 2, 8, 9, 2, 3, 3, 4, 3, 0},
           {"model, images", 2, 32, 32, 3, 32, 4, 4, 2, 1, true, true},
           {"model, halving", 2, 16, 16, 32, 64, 4, 4, 2, 1, true, true},
           {"model, residual", 2, 8, 8, 64, 64, 3, 3, 1, 1, true, true},
           {"model, residual, batch 1", 1, 8, 8, 64, 64, 3, 3, 1, 1, true, false},
           {"model, residual, shortcut", 2, 8, 8, 64, 64, 3, 3, 1, 1, true, true, true},
           {"shortcut without ReLU", 3, 5, 4, 6, 5, 3, 3, 1, 1, true, false, true},
           {"model, projection", 2, 8, 8, 48, 64, 1, 1, 1, 0, true, false},
           {"few channels, O above a block, as many taps as the GPU's table", 2, 7, 11, 4, 150, 6,
            10, 2, 1, true, true},
           {"few channels, one tap more than that", 1, 2, 243, 1, 3, 1, 241, 1, 0, true, false},
           {"more columns than one chunk", 30, 32, 32, 16, 2, 3, 3, 1, 1, true, false},
           {"wide, odd batch", 35, 4, 6, 32, 16, 3, 3, 1, 1, true, true},
           {"wide, stride 2, odd size", 3, 9, 7, 64, 32, 4, 4, 2, 1, true, false},
           {"wide, 5x5, padding 2", 3, 5, 4, 32, 48, 5, 5, 1, 2, true, true},
           {"wide, stride 3, kernel mostly in the padding", 2, 2, 3, 32, 16, 6, 7, 3, 3},
       })
    cases.push_back(c);
  return cases;
}

std::vector<ConvCase> conv_transpose_cases() {
  std::vector<ConvCase> cases = grid(4, 5);
  for (const ConvCase& c : std::vector<ConvCase>{
           {"one pixel, one channel", 1, 1, 1, 1, 1, 1, 1, 1, 0},
           {"one pixel to a whole image", 2, 1, 1, 5, 3, 6, 7, 1, 0, true, false},
           {"1x1", 3, 5, 4, 6, 5, 1, 1, 1, 0, true, true},
           {"1x1 stride 2, gaps", 2, 4, 5, 3, 4, 1, 1, 2, 0, true, false},
           {"one channel", 1, 9, 9, 1, 1, 3, 3, 1, 1, false, true},
           {"kernel 2x5", 2, 4, 6, 3, 4, 2, 5, 1, 2, true, false},
           {"stride larger than the kernel", 2, 3, 4, 3, 4, 2, 2, 3, 0, true, true},
           {"model, doubling", 2, 8, 8, 64, 32, 4, 4, 2, 1, true, true},
           {"model, doubling, batch 1", 1, 8, 8, 64, 32, 4, 4, 2, 1, true, false},
           {"model, images", 2, 16, 16, 32, 3, 4, 4, 2, 1, true, false},
       })
    cases.push_back(c);
  return cases;
}

std::vector<OperationCase> conv_operation_cases(DType activations) {
  std::vector<OperationCase> cases;
  for (const ConvCase& c : conv_cases()) cases.push_back(convolution(c, activations));
  for (const ConvCase& c : conv_transpose_cases()) cases.push_back(transposed(c, activations));
  return cases;
}

}  // namespace versor::testing
