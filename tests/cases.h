// THE table of operation cases: every differentiable function at sizes that matter, as data. It
// serves the comparison of values and gradients with the double reference, the test of equal bits,
// and the test that no unneeded gradient is computed. cases.cpp has the table, cases_conv.cpp the
// convolutions, cases_composed.cpp functions made of others,
// cases_attention.cpp what transformers need.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/functions.h"
#include "tests/arrays.h"

namespace versor::testing {

using Arrays = std::vector<reference::Array>;
using Variables = std::vector<Variable>;

// How one input is drawn: uniform on [low, high), with a random sign if asked for.
struct Input {
  Shape shape;
  double low = -1, high = 1;
  bool either_sign = false;
};

struct OperationCase {
  std::string name;  // "function, what is special about the sizes"
  std::vector<Input> inputs;
  std::function<Variable(const Variables&)> forward;
  std::function<reference::Array(const Arrays&)> reference;
  // d<dy, y> / d input, for every input.
  std::function<Arrays(const reference::Array& dy, const Arrays&)> reference_grad;

  std::string function() const { return name.substr(0, name.find(',')); }
};

const std::vector<OperationCase>& operation_cases();

// The inputs of a case, exact in f32.
Arrays draw_inputs(const OperationCase& c, uint64_t seed);

// One run of the library: y and the gradients of <dy, y>.
struct Outcome {
  Tensor y;
  std::vector<Tensor> gradients;
};
Outcome run_case(const OperationCase& c, const Arrays& inputs, const reference::Array& dy,
                 Device device = test_device());

// A convolution x [N,H,W,I] to [N,H',W',O] with weight [O,kh,kw,I]; or, transposed, with weight
// [I,kh,kw,O], the convolution whose input gradient it is.
struct ConvCase {
  std::string name;
  int64_t N, H, W, I, O, kh, kw, stride, padding;
  bool bias = false, relu = false;
  bool residual = false;  // with a bias only; not transposed

  Conv2dParams params() const { return {stride, padding}; }
  Shape input() const { return {N, H, W, I}; }
  Shape weight() const { return {O, kh, kw, I}; }
  Shape transposed_weight() const { return {I, kh, kw, O}; }
  Shape output() const { return {N, params().out_size(H, kh), params().out_size(W, kw), O}; }
};
std::vector<ConvCase> conv_cases();
std::vector<ConvCase> conv_transpose_cases();
// With `activations` bf16 the images are rounded on the way in and widened on the way out.
std::vector<OperationCase> composed_operation_cases();
std::vector<OperationCase> attention_operation_cases();
std::vector<OperationCase> conv_operation_cases(DType activations = DType::f32);

}  // namespace versor::testing
