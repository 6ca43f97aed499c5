// The heart of the paper, one row at a time: how the gradient g at the decoder's input becomes the
// gradient of the encoder's vector e, whose nearest code is q. Below it is the row arithmetic of
// the search and the codebook. All of it is defined once for all devices. Sums and norms are f64,
// so that vectors with norms from 1e-20 to 1e20 work.
//
//   ehat = e/|e|,  qhat = q/|q|,  lambda = |q|/|e|
//   r = (ehat+qhat)/|ehat+qhat|,  v = (ehat-qhat)/|ehat-qhat|
//
//   rotation           lambda R^T g = lambda [g - 2 r (r.g) + 2 ehat (qhat.g)]
//   rotation_unscaled  R^T g, the same with lambda = 1
//   reflection         lambda H g   = lambda [g - 2 v (v.g)]
//   ste, published     g
//
// The decoder gets q; with rotation_unscaled it gets R e, with published H e. Both are |e| qhat.
// All of it is about 0. About another point o, e and q are e - o and q - o here, and o is
// added to R e and H e: see pass_through() in estimators.h.
//
// R, the rotation from ehat to qhat: Fifty et al., "Restructuring Vector Quantization with the
// Rotation Trick" (2024). H, the Householder reflection: section 2.4 of the reproduced paper.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensor/hostdevice.h"

namespace versor {

// The last two need more than e, q and g of one row: see estimators.h.
enum class Estimator { ste, rotation, reflection, published, rotation_unscaled, gumbel, diveq };

// Below these limits the direction of a vector, or of the sum or difference of two directions, is
// noise, and the straight-through gradient takes over.
constexpr double kSmallestNorm = 1e-6;
constexpr double kSmallestSquaredSum = 2e-4;

// Several threads may share a row. Then x[0..d-1] are the elements that the caller holds (zeros
// beyond the row's end add nothing to any sum), and `combine` turns the caller's part of a sum into
// the sum of the whole row. On the CPU one thread holds a whole row:
struct WholeRow {
  VERSOR_HD double operator()(double sum) const { return sum; }
};

// body(i) for i < d.
template <class Body>
VERSOR_HD inline void for_elements(int64_t d, const Body& body) {
#ifdef __CUDA_ARCH__
#pragma unroll  // where d is a constant, so that a row can lie in registers
#endif
  for (int64_t i = 0; i < d; ++i) body(i);
}

// Sum of term(i) over i < d. On the CPU there are eight partial sums, so that the compiler can
// vectorise the loop and no addition waits for the one before.
template <class Term>
VERSOR_HD inline double sum_elements(int64_t d, const Term& term) {
#ifdef __CUDA_ARCH__
  double sum = 0;
  for_elements(d, [&](int64_t i) { sum += term(i); });
  return sum;
#else
  double s[8] = {};
  int64_t i = 0;
  for (; i + 8 <= d; i += 8)
    for (int k = 0; k < 8; ++k) s[k] += term(i + k);
  for (; i < d; ++i) s[i % 8] += term(i);
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
#endif
}

template <class Combine = WholeRow>
VERSOR_HD inline double norm(const float* x, int64_t d, const Combine& combine = {}) {
  return std::sqrt(
      combine(sum_elements(d, [&](int64_t i) { return static_cast<double>(x[i]) * x[i]; })));
}

// What a row's gradient depends on besides g.
struct RowGeometry {
  bool directions;  // whether both norms are large enough for ehat and qhat to mean something
  double e_scale, q_scale;  // 1/|e| and 1/|q|; 0 where a norm is too small
  double lambda;            // |q| / |e|; 1 where a norm is too small
  double sum_squared;   // |ehat + qhat|^2, formed from the vectors: 0 if opposite, 4 if parallel
  double diff_squared;  // |ehat - qhat|^2
};

// e, q [D].
template <class Combine = WholeRow>
VERSOR_HD inline RowGeometry row_geometry(const float* e, const float* q, int64_t d,
                                          const Combine& combine = {}) {
  const double e_norm = norm(e, d, combine), q_norm = norm(q, d, combine);
  // Also false for a NaN.
  if (!(e_norm >= kSmallestNorm && q_norm >= kSmallestNorm)) return {false, 0, 0, 1, 0, 0};
  // Multiplying is many times faster than dividing, especially on a GPU.
  const double e_scale = 1 / e_norm, q_scale = 1 / q_norm;
  const double sum = sum_elements(d, [&](int64_t i) {
    const double both = e[i] * e_scale + q[i] * q_scale;
    return both * both;
  });
  const double difference = sum_elements(d, [&](int64_t i) {
    const double apart = e[i] * e_scale - q[i] * q_scale;
    return apart * apart;
  });
  return {true, e_scale, q_scale, q_norm / e_norm, combine(sum), combine(difference)};
}

// Angle between e and q in radians, accurate near 0 and pi too; 0 where a norm is too small.
VERSOR_HD inline double row_angle(const RowGeometry& g) {
  return g.directions ? 2 * std::atan2(std::sqrt(g.diff_squared), std::sqrt(g.sum_squared)) : 0.0;
}

// The larger of two numbers, for the largest lambda and angle; NaN counts as the largest of all.
VERSOR_HD inline double larger(double a, double b) {
  return a < b || b != b ? b : a;
}

VERSOR_HD inline bool rotates(Estimator estimator) {
  return estimator == Estimator::rotation || estimator == Estimator::rotation_unscaled;
}

// Whether a row's gradient may differ from g.
VERSOR_HD inline bool bends_gradient(Estimator estimator) {
  return rotates(estimator) || estimator == Estimator::reflection;
}

// Whether the row's gradient is g itself.
VERSOR_HD inline bool is_straight_through(Estimator estimator, const RowGeometry& g) {
  if (rotates(estimator)) return !g.directions || g.sum_squared < kSmallestSquaredSum;
  if (estimator == Estimator::reflection)
    return !g.directions || g.diff_squared < kSmallestSquaredSum;
  return true;
}

// de [D] from dy, e, q [D]. de may be dy.
template <class Combine = WholeRow>
VERSOR_HD inline void row_gradient(Estimator estimator, float* de, const float* dy, const float* e,
                                   const float* q, int64_t d, const Combine& combine = {}) {
  const RowGeometry g = row_geometry(e, q, d, combine);
  if (is_straight_through(estimator, g)) {
    for_elements(d, [&](int64_t i) { de[i] = dy[i]; });
    return;
  }
  const bool rotate = rotates(estimator);
  const double lambda = estimator == Estimator::rotation_unscaled ? 1.0 : g.lambda;
  const double sign = rotate ? 1.0 : -1.0;  // r is along ehat + qhat, v along ehat - qhat
  // (ehat +- qhat).dy  and  qhat.dy
  const double along = sum_elements(
      d, [&](int64_t i) { return (e[i] * g.e_scale + sign * (q[i] * g.q_scale)) * dy[i]; });
  const double q_dot = sum_elements(d, [&](int64_t i) { return q[i] * g.q_scale * dy[i]; });
  const double reflect = 2 * combine(along) / (rotate ? g.sum_squared : g.diff_squared);
  const double turn = rotate ? 2 * combine(q_dot) : 0.0;
  for_elements(d, [&](int64_t i) {
    const double eh = e[i] * g.e_scale, qh = q[i] * g.q_scale;
    de[i] = static_cast<float>(lambda * (dy[i] - reflect * (eh + sign * qh) + turn * eh));
  });
}

// Whether the decoder gets q itself, so that no other value need be computed.
VERSOR_HD inline bool passes_code(Estimator estimator) {
  return estimator != Estimator::published && estimator != Estimator::rotation_unscaled;
}

// Whether anything is turned or mirrored, in value or gradient, so that it matters about which
// point.
VERSOR_HD inline bool turns_about_origin(Estimator estimator) {
  return bends_gradient(estimator) || !passes_code(estimator);
}

// y [D], what the decoder gets in place of q: |e| qhat, the code's direction with e's length. Where
// a vector is too short to have a direction:
//   published          -e where q = 0 (there v = ehat), 0 where e = 0
//   rotation_unscaled  e where |e| or |q| < kSmallestNorm: with no direction to turn to, R is the
//                      identity, whose gradient is exactly g. So |y| = |e| in every row.
// Opposite vectors do have directions: the value stays |e| qhat, only the gradient is that of ste.
template <class Combine = WholeRow>
VERSOR_HD inline void row_unscaled_value(Estimator estimator, float* y, const float* e,
                                         const float* q, int64_t d, const Combine& combine = {}) {
  const double q_norm = norm(q, d, combine), e_norm = norm(e, d, combine);
  const double scale = e_norm / q_norm;
  const bool published = estimator == Estimator::published;
  // For rotation_unscaled this is also true if a norm is NaN, because a NaN must reach y.
  const bool known = published ? q_norm > 0 : !(e_norm < kSmallestNorm || q_norm < kSmallestNorm);
  for_elements(d, [&](int64_t i) {
    y[i] = known ? static_cast<float>(q[i] * scale) : published ? -e[i] : e[i];
  });
}

// --- search -------------------------------------------------------------------------------------

// |e - c|^2 in f64, by one thread, column after column. It stops once the sum exceeds `bound`,
// since the sum only grows. All devices add in this order, so that they choose the same codes.
//   e, c [D].
VERSOR_HD inline double squared_distance(const float* e, const float* c, int64_t d, double bound) {
  double sum = 0;
  for (int64_t i = 0; i < d && !(sum > bound); i += 32)
    for (int64_t j = i; j < std::min(d, i + 32); ++j) {
      const double difference = static_cast<double>(e[j]) - c[j];
      sum += difference * difference;
    }
  return sum;
}

// --- codebook -----------------------------------------------------------------------------------

// eq. (3), (4): decay * old + (1-decay) * batch.
VERSOR_HD inline float moving_average(float old, float batch, double decay) {
  return static_cast<float>(decay) * old + static_cast<float>(1.0 - decay) * batch;
}

// N hat, the divisor of eq. (5).   count: N of the code; total: the sum of N over all K codes.
VERSOR_HD inline double smoothed_count(double count, double total, int64_t codes, double eps) {
  return (count + eps) / (total + static_cast<double>(codes) * eps) * total;
}

// The divisor that gives a code length 1: |m|, or 0 if m has faded away because no vector has been
// assigned to the code for a long time. The code then keeps its last direction.
VERSOR_HD inline double length_or_zero(double length) {
  return length >= 1e-30 ? length : 0;
}

// eq. (5), code = m / divisor. The code stays as it is until something has been counted.
VERSOR_HD inline float code_element(float code, float m, double divisor) {
  return divisor > 0 ? static_cast<float>(m / divisor) : code;
}

// --- usage --------------------------------------------------------------------------------------

// exp of the mean entropy of those symbols that were counted at all; 1 if none was.
VERSOR_HD inline float mean_perplexity(double entropy_sum, int64_t counted) {
  return static_cast<float>(
      std::exp(counted > 0 ? entropy_sum / static_cast<double>(counted) : 0.0));
}

// --- grids --------------------------------------------------------------------------------------

// The nearest point of a grid without a search: the index that comparing squared_distance() for all
// points would give, bit for bit. grid [K,d] has all combinations of the values of the dimensions,
// ascending, with the first dimension running fastest; levels [d] is the number of values in each.
//
// The nearest value in every dimension gives the smallest distance, even as computed in f64, since
// rounding is monotone. Several points may share that distance: x lies halfway between two values,
// or the share of one dimension is rounded away beside another's. The search would return the
// lowest index. The last dimension weighs most in the index, so it is lowered first, as long as the
// distance stays the same; then the dimension before it, and so on.
VERSOR_HD inline int32_t row_grid_code(const float* x, const float* grid, const int32_t* levels,
                                       int64_t d) {
  int64_t k = 0, step = 1;  // step: how much the index grows from one value to the next
  for (int64_t i = 0; i < d; ++i) {
    const auto value = [&](int64_t j) { return static_cast<double>(grid[j * step * d + i]); };
    int64_t low = 0, high = levels[i] - 1;  // finds the first value >= x[i], or else the last
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (value(middle) < x[i])
        low = middle + 1;
      else
        high = middle;
    }
    if (low > 0 && std::abs(x[i] - value(low - 1)) <= std::abs(x[i] - value(low))) --low;
    k += low * step;
    step *= levels[i];
  }
  const double smallest = squared_distance(x, grid + k * d, d, HUGE_VAL);
  if (!(smallest < HUGE_VAL)) return 0;  // as in the search, an infinite or NaN distance never wins
  for (int64_t i = d - 1; i >= 0; --i) {
    step /= levels[i];
    while (k / step % levels[i] > 0 &&
           squared_distance(x, grid + (k - step) * d, d, smallest) == smallest)
      k -= step;
  }
  return static_cast<int32_t>(k);
}

// The number whose bits, highest first, are x[0] > 0, x[1] > 0, ...; 0 if x has a NaN.
VERSOR_HD inline int32_t row_sign_code(const float* x, int64_t d) {
  int32_t code = 0;
  for (int64_t i = 0; i < d; ++i) {
    if (x[i] != x[i]) return 0;
    code = 2 * code + (x[i] > 0 ? 1 : 0);
  }
  return code;
}

}  // namespace versor
