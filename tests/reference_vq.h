// The vector quantizer in double: the nearest code, and five ways to pass a gradient through it.
// For a row e, its code q and the arriving gradient g, e_hat = e/|e|, q_hat = q/|q|,
// lambda = |q|/|e|:
//   rotation    lambda R^T g,  R = I - 2 r r^T + 2 q_hat e_hat^T,  r = (e_hat+q_hat)/|e_hat+q_hat|
//   reflection  lambda H g,    H = I - 2 v v^T,                    v = (e_hat-q_hat)/|e_hat-q_hat|
//   rotation_unscaled  R^T g
// Gradients are computed in O(D); the D x D matrices are here too, for comparison in tests.
// Read next: reference_codebook.h.
#pragma once

#include <limits>

#include "tests/reference_array.h"

namespace versor::reference {

// index[r] = argmin over j of sum over d of (e[r,d] - codebook[j,d])^2, ties to the lowest index.
// e [R,D], codebook [K,D].
inline Indices nearest_code(const Array& e, const Array& codebook) {
  require(e.dim(1) == codebook.dim(1) && codebook.dim(0) > 0, "nearest_code sizes differ");
  Indices nearest(static_cast<size_t>(e.dim(0)), 0);
  for (int64_t r = 0; r < e.dim(0); ++r) {
    double smallest = std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < codebook.dim(0); ++j) {
      double distance = 0.0;
      for (int64_t d = 0; d < e.dim(1); ++d) {
        const double difference = e.at(r, d) - codebook.at(j, d);
        distance += difference * difference;
      }
      if (distance < smallest) {
        smallest = distance;
        nearest[static_cast<size_t>(r)] = j;
      }
    }
  }
  return nearest;
}

// x - origin in every row: the formulas below are about 0, and so about any point.
//   x [R,D], origin [D].
inline Array about(const Array& x, const Array& origin) {
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t d = 0; d < x.dim(1); ++d) y.at(r, d) -= origin[d];
  return y;
}

enum class Estimator { ste, rotation, reflection, published, rotation_unscaled };

// Where r or v is ill-conditioned, rotations and reflection pass g on unchanged, as ste does.
constexpr double kSmallestNorm = 1e-6;
constexpr double kSmallestSquaredSum = 2e-4;  // |e_hat + q_hat|^2 or |e_hat - q_hat|^2

// What the estimators need of one pair. Directions are zero vectors where the norm is zero.
struct Directions {
  double e_norm, q_norm, lambda;
  Array e_hat, q_hat;  // [D]
};

// e [D], q [D].
inline Directions directions(const Array& e, const Array& q) {
  require(e.shape == q.shape, "vector and code have different sizes");
  Directions s{norm(e), norm(q), 0.0, zeros(e.shape), zeros(q.shape)};
  if (s.e_norm > 0.0) {
    s.lambda = s.q_norm / s.e_norm;
    for (int64_t d = 0; d < e.count(); ++d) s.e_hat[d] = e[d] / s.e_norm;
  }
  if (s.q_norm > 0.0)
    for (int64_t d = 0; d < q.count(); ++d) s.q_hat[d] = q[d] / s.q_norm;
  return s;
}

// e_hat + sign * q_hat: the direction of r for sign = +1, that of v for sign = -1.
inline Array axis_of(const Directions& s, double sign) {
  Array axis = s.e_hat;
  for (int64_t d = 0; d < axis.count(); ++d) axis[d] += sign * s.q_hat[d];
  return axis;
}

inline bool rotates(Estimator estimator) {
  return estimator == Estimator::rotation || estimator == Estimator::rotation_unscaled;
}

// The factor of R or H in the estimator.
inline double scale_of(Estimator estimator, const Directions& s) {
  return estimator == Estimator::rotation_unscaled ? 1.0 : s.lambda;
}

inline bool is_short(const Directions& s) {
  return s.e_norm < kSmallestNorm || s.q_norm < kSmallestNorm;
}

// Whether this row takes the gradient of ste, by the estimator's own rule or by its edge rules.
inline bool passes_gradient_unchanged(Estimator estimator, const Directions& s) {
  if (estimator == Estimator::ste || estimator == Estimator::published) return true;
  if (is_short(s)) return true;
  const Array axis = axis_of(s, rotates(estimator) ? 1.0 : -1.0);
  return dot(axis, axis) < kSmallestSquaredSum;
}

// The value passed on to the decoder. ste, rotation, reflection: q itself. published: H e, which is
// |e| q_hat; e itself where e_hat = q_hat (there is no v), and -e where q = 0 (there v = e_hat).
// rotation_unscaled: R e, which is |e| q_hat too; e itself where e or q is short (R = I).
// e [R,D], q [R,D]; result [R,D].
inline Array estimator_value(Estimator estimator, const Array& e, const Array& q) {
  Array value = q;
  const bool published = estimator == Estimator::published;
  if (!published && estimator != Estimator::rotation_unscaled) return value;
  for (int64_t r = 0; r < e.dim(0); ++r) {
    const Directions s = directions(row_of(e, r), row_of(q, r));
    const bool same_direction = s.e_hat.data == s.q_hat.data;
    for (int64_t d = 0; d < e.dim(1); ++d) {
      if (published ? same_direction : is_short(s))
        value.at(r, d) = e.at(r, d);
      else if (s.q_norm == 0.0)
        value.at(r, d) = -e.at(r, d);
      else
        value.at(r, d) = s.e_norm * s.q_hat[d];
    }
  }
  return value;
}

// The gradient that reaches one vector: g [D], result [D].
//   rotation           lambda [g - 2 r (r.g) + 2 e_hat (q_hat.g)]
//   rotation_unscaled  the same with lambda = 1
//   reflection         lambda [g - 2 v (v.g)]
inline Array estimator_gradient_row(Estimator estimator, const Array& e, const Array& q,
                                    const Array& g) {
  const Directions s = directions(e, q);
  if (passes_gradient_unchanged(estimator, s)) return g;
  const bool rotation = rotates(estimator);
  const Array axis = axis_of(s, rotation ? 1.0 : -1.0);
  const double axis_dot_g = dot(axis, g) / dot(axis, axis);
  const double q_hat_dot_g = dot(s.q_hat, g);
  Array gradient = g;
  for (int64_t d = 0; d < g.count(); ++d) {
    gradient[d] -= 2.0 * axis[d] * axis_dot_g;
    if (rotation) gradient[d] += 2.0 * s.e_hat[d] * q_hat_dot_g;
    gradient[d] *= scale_of(estimator, s);
  }
  return gradient;
}

// The gradient to e for all rows. No gradient reaches q on this path.  e, q, g [R,D]; result [R,D].
inline Array estimator_gradient(Estimator estimator, const Array& e, const Array& q,
                                const Array& g) {
  require(e.shape == q.shape && e.shape == g.shape, "estimator shapes differ");
  Array gradient = g;
  for (int64_t r = 0; r < e.dim(0); ++r) {
    const Array row = estimator_gradient_row(estimator, row_of(e, r), row_of(q, r), row_of(g, r));
    for (int64_t d = 0; d < e.dim(1); ++d) gradient.at(r, d) = row[d];
  }
  return gradient;
}

// R = I - 2 r r^T + 2 q_hat e_hat^T [D,D]: rotates e_hat to q_hat in the plane of both and does not
// change what is orthogonal to it. Needs e, q nonzero and not opposite.
inline Array rotation_matrix(const Array& e, const Array& q) {
  const Directions s = directions(e, q);
  const Array axis = axis_of(s, 1.0);
  const double squared = dot(axis, axis);
  Array matrix = zeros({e.count(), e.count()});
  for (int64_t i = 0; i < e.count(); ++i)
    for (int64_t j = 0; j < e.count(); ++j)
      matrix.at(i, j) =
          (i == j ? 1.0 : 0.0) - 2.0 * axis[i] * axis[j] / squared + 2.0 * s.q_hat[i] * s.e_hat[j];
  return matrix;
}

// H = I - 2 v v^T [D,D]: the mirror that exchanges e_hat and q_hat. Needs e_hat and q_hat distinct.
inline Array reflection_matrix(const Array& e, const Array& q) {
  const Directions s = directions(e, q);
  const Array axis = axis_of(s, -1.0);
  const double squared = dot(axis, axis);
  Array matrix = zeros({e.count(), e.count()});
  for (int64_t i = 0; i < e.count(); ++i)
    for (int64_t j = 0; j < e.count(); ++j)
      matrix.at(i, j) = (i == j ? 1.0 : 0.0) - 2.0 * axis[i] * axis[j] / squared;
  return matrix;
}

// The matrix M [D,D] of the surrogate e -> M e, the function that the estimator differentiates,
// with index, R, H and lambda frozen: lambda R, R, lambda H, or I where the gradient passes
// unchanged.
inline Array surrogate_matrix(Estimator estimator, const Array& e, const Array& q) {
  const Directions s = directions(e, q);
  Array matrix = zeros({e.count(), e.count()});
  if (passes_gradient_unchanged(estimator, s)) {
    for (int64_t i = 0; i < e.count(); ++i) matrix.at(i, i) = 1.0;
    return matrix;
  }
  matrix = rotates(estimator) ? rotation_matrix(e, q) : reflection_matrix(e, q);
  for (double& entry : matrix.data) entry *= scale_of(estimator, s);
  return matrix;
}

// y[i] = sum over j of m[i,j] * x[j].   m [A,B], x [B], y [A].
inline Array apply(const Array& m, const Array& x) {
  Array y = zeros({m.dim(0)});
  for (int64_t i = 0; i < m.dim(0); ++i)
    for (int64_t j = 0; j < m.dim(1); ++j) y[i] += m.at(i, j) * x[j];
  return y;
}

// y[j] = sum over i of m[i,j] * x[i]: the same with m^T.   m [A,B], x [A], y [B].
inline Array apply_transposed(const Array& m, const Array& x) {
  Array y = zeros({m.dim(1)});
  for (int64_t i = 0; i < m.dim(0); ++i)
    for (int64_t j = 0; j < m.dim(1); ++j) y[j] += m.at(i, j) * x[i];
  return y;
}

}  // namespace versor::reference
