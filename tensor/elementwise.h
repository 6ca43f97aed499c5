// Element-wise arithmetic, written once for every device: the CPU loops and the CUDA kernels call
// these functions, so that their results agree bit for bit (up to tanh, exp and log, which come
// from each device's mathematical library).
#pragma once

#include <cmath>

#include "tensor/hostdevice.h"

namespace versor {

enum class UnaryOp { relu, tanh, exp, log, sqrt, square };
enum class BinaryOp { add, sub, mul, div, add_relu };

// max(x, 0); a NaN stays one, so that a network that has diverged cannot hide behind its ReLUs.
VERSOR_HD inline float rectified(float x) {
  return x > 0.f ? x : (x == x ? 0.f : x);
}

VERSOR_HD inline float apply(UnaryOp op, float x) {
  switch (op) {
    case UnaryOp::relu:
      return rectified(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::square:
      return x * x;
  }
  return x;
}

// Whether the derivative is formed from the output (else from the input): whichever is needed
// anyway or gives the simpler formula is what a differentiable function keeps.
constexpr bool saves_output(UnaryOp op) {
  return op != UnaryOp::log && op != UnaryOp::square;
}

// dx = dy op'(x), with op'(x) from the saved value s. A ReLU lets dy pass or gives 0, also where dy
// is not finite (0 times it would be NaN).
VERSOR_HD inline float apply_grad(UnaryOp op, float dy, float s) {
  switch (op) {
    case UnaryOp::relu:
      return s > 0.f ? dy : 0.f;
    case UnaryOp::tanh:
      return dy * (1.f - s * s);
    case UnaryOp::exp:
      return dy * s;
    case UnaryOp::log:
      return dy * (1.f / s);
    case UnaryOp::sqrt:
      return dy * (0.5f / s);
    case UnaryOp::square:
      return dy * (2.f * s);
  }
  return dy;
}

VERSOR_HD inline float apply(BinaryOp op, float a, float b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::sub:
      return a - b;
    case BinaryOp::mul:
      return a * b;
    case BinaryOp::div:
      return a / b;
    case BinaryOp::add_relu:
      return rectified(a + b);
  }
  return a;
}

}  // namespace versor
