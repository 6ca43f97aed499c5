// Element-wise arithmetic, written once for every device: the CPU loops and the CUDA kernels call
// these functions, so their results agree bit for bit (up to tanh, exp and log, which come from
// each device's mathematical library).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/dispatch.h"
#include "tensor/hostdevice.h"

namespace versor {

enum class UnaryOp : int { relu, tanh, exp, log, sqrt, square, silu, sigmoid, gelu, abs, count };
enum class BinaryOp : int { add, sub, mul, div, add_relu, maximum, minimum, count };

// Whether an operation's derivative is computed from its input or its output: whichever is needed
// anyway or gives the simpler formula. A differentiable function saves it for the backward pass.
enum class Saved { input, output };

// The definition of an operation. A new one is an enumerator above and a specialisation below; both
// devices compile every enumerator (dispatch.h), so none can be forgotten.
template <auto op>
struct Operation;

// Unary ones: y = value(x), and dx = gradient(dy, s) = dy * value'(x) with s the saved x or y.

// max(x, 0); a NaN stays one, so that a network that has diverged cannot hide behind its ReLUs. The
// gradient lets dy pass or gives 0, also where dy is not finite (0 times it would be NaN).
VERSOR_HD inline float rectified(float x) {
  return x > 0.f ? x : (x == x ? 0.f : x);
}
template <>
struct Operation<UnaryOp::relu> {
  static constexpr const char* name = "relu";
  static constexpr Saved saved = Saved::output;
  VERSOR_HD static float value(float x) { return rectified(x); }
  VERSOR_HD static float gradient(float dy, float y) { return y > 0.f ? dy : 0.f; }
};
template <>
struct Operation<UnaryOp::tanh> {
  static constexpr const char* name = "tanh";
  static constexpr Saved saved = Saved::output;
  VERSOR_HD static float value(float x) { return std::tanh(x); }
  VERSOR_HD static float gradient(float dy, float y) { return dy * (1.f - y * y); }
};
template <>
struct Operation<UnaryOp::exp> {
  static constexpr const char* name = "exp";
  static constexpr Saved saved = Saved::output;
  VERSOR_HD static float value(float x) { return std::exp(x); }
  VERSOR_HD static float gradient(float dy, float y) { return dy * y; }
};
template <>
struct Operation<UnaryOp::log> {
  static constexpr const char* name = "log";
  static constexpr Saved saved = Saved::input;
  VERSOR_HD static float value(float x) { return std::log(x); }
  VERSOR_HD static float gradient(float dy, float x) { return dy * (1.f / x); }
};
template <>
struct Operation<UnaryOp::sqrt> {
  static constexpr const char* name = "sqrt";
  static constexpr Saved saved = Saved::output;
  VERSOR_HD static float value(float x) { return std::sqrt(x); }
  VERSOR_HD static float gradient(float dy, float y) { return dy * (0.5f / y); }
};
template <>
struct Operation<UnaryOp::square> {
  static constexpr const char* name = "square";
  static constexpr Saved saved = Saved::input;
  VERSOR_HD static float value(float x) { return x * x; }
  VERSOR_HD static float gradient(float dy, float x) { return dy * (2.f * x); }
};
// x sigmoid(x) (Elfwing et al. 2018; also called swish).
template <>
struct Operation<UnaryOp::silu> {
  static constexpr const char* name = "silu";
  static constexpr Saved saved = Saved::input;
  VERSOR_HD static float value(float x) { return x / (1.f + std::exp(-x)); }
  VERSOR_HD static float gradient(float dy, float x) {
    const float s = 1.f / (1.f + std::exp(-x));
    return dy * (s * (1.f + x * (1.f - s)));
  }
};
// 1 / (1 + exp(-x)).
template <>
struct Operation<UnaryOp::sigmoid> {
  static constexpr const char* name = "sigmoid";
  static constexpr Saved saved = Saved::output;
  VERSOR_HD static float value(float x) { return 1.f / (1.f + std::exp(-x)); }
  VERSOR_HD static float gradient(float dy, float y) { return dy * (y * (1.f - y)); }
};
// exp(x) for x <= 0, to 1e-7 of itself, in arithmetic that a compiler turns into vectors (a call of
// std::exp it does not); 0 below -87, where f32 ends. x = n log 2 + r, and exp(r) is a polynomial,
// fitted for its largest relative error, 3e-9.
VERSOR_HD inline float exp_of_negative(float x) {
  constexpr float kRounding = 12582912.f;      // 1.5 * 2^23: what is added to it becomes an integer
  const float within = x > -87.f ? x : -87.f;  // also for a NaN, which p keeps
  const float n = (within * 1.44269504f + kRounding) - kRounding;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // log 2 in two parts
  float p = 0.00138146f;
  p = p * r + 0.00836871f;
  p = p * r + 0.04166839f;
  p = p * r + 0.16666521f;
  p = p * r + 0.49999993f;
  p = p * r * r + r + 1.f;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.f ? 0.f : p * power;
}
// x P(x) with P the distribution function of the normal distribution, (1 + erf(x / sqrt(2))) / 2
// (Hendrycks and Gimpel 2016; the exact form, which is PyTorch's default). The gradient is
// P(x) + x exp(-x^2 / 2) / sqrt(2 pi).
template <>
struct Operation<UnaryOp::gelu> {
  static constexpr const char* name = "gelu";
  static constexpr Saved saved = Saved::input;
  // P(x) with e = exp(-x^2 / 2): P(-|x|) = e Q(u), u = 1 / (1 + 0.35 |x|), which keeps its digits
  // far from 0, where 1 + erf would lose them all. Q is fitted like the polynomial above (3e-8).
  VERSOR_HD static float probability(float x, float e) {
    const float u = 1.f / (1.f + 0.35f * std::fabs(x));
    float q = -0.029145937f;
    q = q * u + 0.14397174f;
    q = q * u - 0.25571436f;
    q = q * u + 0.15917426f;
    q = q * u - 0.023109904f;
    q = q * u + 0.10550803f;
    q = q * u + 0.11983286f;
    q = q * u + 0.13986187f;
    q = q * u + 0.1396214f;
    const float below = e * (q * u);
    return x < 0.f ? below : 1.f - below;
  }
  VERSOR_HD static float value(float x) {
    return x * probability(x, exp_of_negative(-0.5f * x * x));
  }
  VERSOR_HD static float gradient(float dy, float x) {
    const float e = exp_of_negative(-0.5f * x * x);
    return dy * (probability(x, e) + x * 0.39894228f * e);
  }
};
// |x|, with no gradient at 0.
template <>
struct Operation<UnaryOp::abs> {
  static constexpr const char* name = "abs";
  static constexpr Saved saved = Saved::input;
  VERSOR_HD static float value(float x) { return std::fabs(x); }
  VERSOR_HD static float gradient(float dy, float x) {
    return x > 0.f ? dy : (x < 0.f ? -dy : 0.f);
  }
};

// Binary ones: y = value(a, b).
template <>
struct Operation<BinaryOp::add> {
  static constexpr const char* name = "add";
  VERSOR_HD static float value(float a, float b) { return a + b; }
};
template <>
struct Operation<BinaryOp::sub> {
  static constexpr const char* name = "sub";
  VERSOR_HD static float value(float a, float b) { return a - b; }
};
template <>
struct Operation<BinaryOp::mul> {
  static constexpr const char* name = "mul";
  VERSOR_HD static float value(float a, float b) { return a * b; }
};
template <>
struct Operation<BinaryOp::div> {
  static constexpr const char* name = "div";
  VERSOR_HD static float value(float a, float b) { return a / b; }
};
template <>
struct Operation<BinaryOp::add_relu> {
  static constexpr const char* name = "add_relu";
  VERSOR_HD static float value(float a, float b) { return rectified(a + b); }
};
// The larger and the smaller of two; NaN where one of them is.
template <>
struct Operation<BinaryOp::maximum> {
  static constexpr const char* name = "maximum";
  VERSOR_HD static float value(float a, float b) { return a > b || a != a ? a : b; }
};
template <>
struct Operation<BinaryOp::minimum> {
  static constexpr const char* name = "minimum";
  VERSOR_HD static float value(float a, float b) { return a < b || a != a ? a : b; }
};

template <class Op>
const char* name_of(Op op) {
  return with_constant(op, [](auto constant) { return Operation<constant()>::name; });
}
inline Saved saved_by(UnaryOp op) {
  return with_constant(op, [](auto constant) { return Operation<constant()>::saved; });
}

// As function objects, for the loop or kernel that applies them to whole tensors.
template <auto op>
struct Value {
  template <class... X>
  VERSOR_HD float operator()(X... x) const {
    return Operation<op>::value(x...);
  }
};
template <auto op>
struct Gradient {
  VERSOR_HD float operator()(float dy, float saved) const {
    return Operation<op>::gradient(dy, saved);
  }
};

}  // namespace versor
