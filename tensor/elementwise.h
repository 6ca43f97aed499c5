// Element-wise arithmetic, written once for every device: the CPU loops and the CUDA kernels call
// these functions, so that their results agree bit for bit (up to tanh, exp and log, which come
// from each device's mathematical library).
#pragma once

#include <algorithm>
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

struct AdamParams {
  float lr = 2e-4f;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  // The learning rate of step t = 1, 2, ... is lr * min(1, t / warmup), and with decay > 0 times
  // (1 + cos(pi min(1, (t-1) / decay))) / 2, half a cosine that ends at 0 after so many steps
  // (Loshchilov and Hutter, "SGDR", 2017).
  int warmup = 0, decay = 0;
};

VERSOR_HD inline double learning_rate(const AdamParams& p, int step) {
  double rate = p.lr;
  if (step < p.warmup) rate *= static_cast<double>(step) / p.warmup;
  if (p.decay > 0) {
    const double done = std::min(1.0, static_cast<double>(step - 1) / p.decay);
    rate *= 0.5 * (1.0 + std::cos(3.14159265358979323846 * done));
  }
  return rate;
}

// The two factors of a step that are the same for all elements, in f64 because 1 - beta2^t is
// a small difference.
struct AdamFactors {
  float step_size;        // lr / (1 - beta1^t)
  float sqrt_correction;  // sqrt(1 - beta2^t)
};
VERSOR_HD inline AdamFactors adam_factors(const AdamParams& p, int step) {
  const double correction1 = 1.0 - std::pow(static_cast<double>(p.beta1), step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(p.beta2), step);
  return {static_cast<float>(learning_rate(p, step) / correction1),
          static_cast<float>(std::sqrt(correction2))};
}

// m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  w <- w - lr * m_hat / (sqrt(v_hat) + eps), with
// m_hat = m / (1 - b1^t), v_hat = v / (1 - b2^t).
VERSOR_HD inline void adam_update(float& w, float& m, float& v, float g, const AdamParams& p,
                                  const AdamFactors& f) {
  m = p.beta1 * m + (1.f - p.beta1) * g;
  v = p.beta2 * v + (1.f - p.beta2) * g * g;
  w -= f.step_size * m / (std::sqrt(v) / f.sqrt_correction + p.eps);
}

}  // namespace versor
