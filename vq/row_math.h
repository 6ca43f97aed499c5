// The heart of the paper, one row at a time: how the gradient g at the decoder's input becomes the
// gradient of the encoder's vector e with nearest code q. Written once for all devices. Everything
// is f64 inside, so that norms from 1e-20 to 1e20 work.
//
//   ehat = e/|e|,  qhat = q/|q|,  lambda = |q|/|e|
//   r = (ehat+qhat)/|ehat+qhat|,  v = (ehat-qhat)/|ehat-qhat|
//
//   rotation        lambda R^T g = lambda [g - 2 r (r.g) + 2 ehat (qhat.g)]
//   reflection      lambda H g   = lambda [g - 2 v (v.g)]
//   ste, published  g
//
// R, the rotation from ehat to qhat: Fifty et al., "Restructuring Vector Quantization with the
// Rotation Trick" (2024). H, the Householder reflection: section 2.4 of the reproduced paper.
#pragma once

#include <cmath>
#include <cstdint>

#include "tensor/hostdevice.h"

namespace versor {

enum class Estimator { ste, rotation, reflection, published };

// Below these the direction of a vector, or of the sum or difference of two directions, is noise;
// the straight-through gradient takes over.
constexpr double kSmallestNorm = 1e-6;
constexpr double kSmallestSquaredSum = 2e-4;

// What a row's gradient needs to know of e and q.
struct RowGeometry {
  double e_norm, q_norm;
  double lambda;        // |q| / |e|; 1 where a norm is too small
  double sum_squared;   // |ehat + qhat|^2, formed from the vectors: 0 if opposite, 4 if parallel
  double diff_squared;  // |ehat - qhat|^2
  bool directions;      // whether both norms are large enough for ehat and qhat to mean something
};

VERSOR_HD inline double norm(const float* x, int64_t d) {
  double sum = 0;
  for (int64_t i = 0; i < d; ++i) sum += static_cast<double>(x[i]) * x[i];
  return std::sqrt(sum);
}

// e, q [D].
VERSOR_HD inline RowGeometry row_geometry(const float* e, const float* q, int64_t d) {
  RowGeometry g{norm(e, d), norm(q, d), 1.0, 0.0, 0.0, false};
  g.directions = g.e_norm >= kSmallestNorm && g.q_norm >= kSmallestNorm;
  if (!g.directions) return g;
  g.lambda = g.q_norm / g.e_norm;
  for (int64_t i = 0; i < d; ++i) {
    const double eh = e[i] / g.e_norm, qh = q[i] / g.q_norm;
    g.sum_squared += (eh + qh) * (eh + qh);
    g.diff_squared += (eh - qh) * (eh - qh);
  }
  return g;
}

// Angle between e and q in radians, exact near 0 and near pi; 0 where a norm is too small.
VERSOR_HD inline double row_angle(const RowGeometry& g) {
  return g.directions ? 2 * std::atan2(std::sqrt(g.diff_squared), std::sqrt(g.sum_squared)) : 0.0;
}

// Whether the row's gradient is g itself.
VERSOR_HD inline bool is_straight_through(Estimator estimator, const RowGeometry& g) {
  if (estimator == Estimator::rotation) return !g.directions || g.sum_squared < kSmallestSquaredSum;
  if (estimator == Estimator::reflection)
    return !g.directions || g.diff_squared < kSmallestSquaredSum;
  return true;
}

// de [D] from dy, e, q [D]. de may be dy.
VERSOR_HD inline void row_gradient(Estimator estimator, float* de, const float* dy, const float* e,
                                   const float* q, int64_t d) {
  const RowGeometry g = row_geometry(e, q, d);
  if (is_straight_through(estimator, g)) {
    for (int64_t i = 0; i < d; ++i) de[i] = dy[i];
    return;
  }
  const bool rotate = estimator == Estimator::rotation;
  const double sign = rotate ? 1.0 : -1.0;  // r is along ehat + qhat, v along ehat - qhat
  double along = 0, q_dot = 0;              // (ehat +- qhat).dy  and  qhat.dy
  for (int64_t i = 0; i < d; ++i) {
    const double eh = e[i] / g.e_norm, qh = q[i] / g.q_norm;
    along += (eh + sign * qh) * dy[i];
    q_dot += qh * dy[i];
  }
  const double reflect = 2 * along / (rotate ? g.sum_squared : g.diff_squared);
  const double turn = rotate ? 2 * q_dot : 0.0;
  for (int64_t i = 0; i < d; ++i) {
    const double eh = e[i] / g.e_norm, qh = q[i] / g.q_norm;
    de[i] = static_cast<float>(g.lambda * (dy[i] - reflect * (eh + sign * qh) + turn * eh));
  }
}

// What the published runs passed to the decoder: H e = |e| qhat, the code's direction with e's
// length; -e where q = 0 (there v = ehat), 0 where e = 0.
VERSOR_HD inline void row_published_value(float* y, const float* e, const float* q, int64_t d) {
  const double q_norm = norm(q, d), e_norm = norm(e, d);
  for (int64_t i = 0; i < d; ++i)
    y[i] = q_norm > 0 ? static_cast<float>(q[i] / q_norm * e_norm) : -e[i];
}

}  // namespace versor
