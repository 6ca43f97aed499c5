// The element-wise functions of one variable with their double references, and the sizes to try:
// what the tests of f32 (test_elementwise.cpp) and of bf16 (test_bf16.cpp) share.
#pragma once

#include <vector>

#include "tensor/elementwise.h"
#include "tests/reference.h"

namespace versor::testing {

namespace ref = versor::reference;

inline const std::vector<int64_t> kSizes = {1, 3, 31, 16384, 40001};

struct Unary {
  UnaryOp op;
  ref::Array (*value)(const ref::Array&);
  ref::Array (*gradient)(const ref::Array& dy, const ref::Array& saved);
  double low, high;
};
inline const Unary kUnary[] = {
    {UnaryOp::relu, ref::relu, ref::relu_grad, -1, 1},
    {UnaryOp::tanh, ref::tanh, ref::tanh_grad, -4, 4},
    {UnaryOp::exp, ref::exp, ref::exp_grad, -5, 5},
    {UnaryOp::log, ref::log, ref::log_grad, 0.01, 5},
    {UnaryOp::sqrt, ref::sqrt, ref::sqrt_grad, 0.01, 5},
    {UnaryOp::square, ref::square, ref::square_grad, -5, 5},
};

}  // namespace versor::testing
