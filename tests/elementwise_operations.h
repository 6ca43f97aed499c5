// THE table of element-wise operations with their double references. It serves the tests of the
// primitives in f32 and bf16, of the differentiable functions (cases.h), and of the references.
#pragma once

#include <iterator>
#include <vector>

#include "autograd/functions.h"
#include "tests/reference.h"

namespace versor::testing {

namespace ref = versor::reference;

inline const std::vector<int64_t> kSizes = {1, 3, 31, 16384, 40001};

struct Unary {
  UnaryOp op;
  Variable (*function)(const Variable&);
  ref::Array (*value)(const ref::Array&);
  ref::Array (*gradient)(const ref::Array& dy, const ref::Array& saved);
  Saved saved;
  double low, high;  // the range of its inputs
  double x, y;       // one pair worked out by hand

  // What the gradient is formed from: the input or the output.
  ref::Array saved_of(const ref::Array& input) const {
    return saved == Saved::output ? value(input) : input;
  }
};
inline const Unary kUnary[] = {
    {UnaryOp::relu, relu, ref::relu, ref::relu_grad, Saved::output, -1, 1, -2, 0},
    {UnaryOp::tanh, tanh, ref::tanh, ref::tanh_grad, Saved::output, -4, 4, 0.5,
     0.46211715726000976},
    {UnaryOp::exp, exp, ref::exp, ref::exp_grad, Saved::output, -5, 5, 1, 2.718281828459045},
    {UnaryOp::log, log, ref::log, ref::log_grad, Saved::input, 0.01, 5, 2, 0.6931471805599453},
    {UnaryOp::sqrt, sqrt, ref::sqrt, ref::sqrt_grad, Saved::output, 0.01, 5, 2.25, 1.5},
    {UnaryOp::square, square, ref::square, ref::square_grad, Saved::input, -5, 5, -3, 9},
    {UnaryOp::silu, silu, ref::silu, ref::silu_grad, Saved::input, -6, 6, 1, 0.7310585786300049},
    {UnaryOp::sigmoid, sigmoid, ref::sigmoid, ref::sigmoid_grad, Saved::output, -6, 6, 1,
     0.7310585786300049},
    {UnaryOp::gelu, gelu, ref::gelu, ref::gelu_grad, Saved::input, -6, 6, -1, -0.15865525393145707},
    {UnaryOp::abs, abs, ref::abs, ref::abs_grad, Saved::input, -1, 1, -2, 2},
};
static_assert(std::size(kUnary) == static_cast<size_t>(UnaryOp::count));

// The divisor and the sum under a ReLU stay away from zero.
struct Binary {
  BinaryOp op;
  Variable (*function)(const Variable&, const Variable&);
  ref::Array (*value)(const ref::Array&, const ref::Array&);
  ref::Two (*gradient)(const ref::Array& dy, const ref::Array& a, const ref::Array& b);
  double limit_a;  // |a| below it
  double low_b;    // 1 > |b| >= it
  double y;        // of a = 3, b = -4
};
inline const Binary kBinary[] = {
    {BinaryOp::add, add, ref::add, [](auto& dy, auto&, auto&) { return ref::add_grad(dy); }, 1, 0,
     -1},
    {BinaryOp::sub, sub, ref::sub, [](auto& dy, auto&, auto&) { return ref::sub_grad(dy); }, 1, 0,
     7},
    {BinaryOp::mul, mul, ref::mul, ref::mul_grad, 1, 0, -12},
    {BinaryOp::div, div, ref::div, ref::div_grad, 1, 0.2, -0.75},
    {BinaryOp::add_relu, add_relu, ref::add_relu,
     [](auto& dy, auto& a, auto& b) { return ref::add_relu_grad(dy, ref::add_relu(a, b)); }, 0.4,
     0.5, 0},
    {BinaryOp::maximum, maximum, ref::maximum, ref::maximum_grad, 1, 0, 3},
    {BinaryOp::minimum, minimum, ref::minimum, ref::minimum_grad, 1, 0, -4},
};
static_assert(std::size(kBinary) == static_cast<size_t>(BinaryOp::count));

}  // namespace versor::testing
