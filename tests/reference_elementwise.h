// Element-wise functions of one and two arrays, vectors added to or multiplied into rows, sums, and
// functions of whole rows.
// A gradient takes dy and what it needs besides: the output y where the derivative is shortest in y
// (relu, tanh, exp, sqrt), the inputs otherwise. Read next: reference_layout.h.
#pragma once

#include <algorithm>
#include <utility>

#include "tests/reference_array.h"

namespace versor::reference {

// y[i] = f(x[i])
template <class F>
Array map(const Array& x, F f) {
  Array y = x;
  for (double& value : y.data) value = f(value);
  return y;
}

// y[i] = f(a[i], b[i]) for equal shapes
template <class F>
Array map(const Array& a, const Array& b, F f) {
  require(a.shape == b.shape, "element-wise shapes differ");
  Array y = a;
  for (int64_t i = 0; i < a.count(); ++i) y[i] = f(a[i], b[i]);
  return y;
}

using Two = std::pair<Array, Array>;  // the gradients to the first and to the second input

// ---- one input ----

// y = max(x, 0);  dx = dy where y > 0, else 0 (so 0 at x = 0).
inline Array relu(const Array& x) {
  return map(x, [](double v) { return v > 0.0 ? v : 0.0; });
}
inline Array relu_grad(const Array& dy, const Array& y) {
  return map(dy, y, [](double d, double v) { return v > 0.0 ? d : 0.0; });
}

// y = tanh x;  dx = dy (1 - y^2).
inline Array tanh(const Array& x) {
  return map(x, [](double v) { return std::tanh(v); });
}
inline Array tanh_grad(const Array& dy, const Array& y) {
  return map(dy, y, [](double d, double v) { return d * (1.0 - v * v); });
}

// y = -x;  dx = -dy.
inline Array neg(const Array& x) {
  return map(x, [](double v) { return -v; });
}
inline Array neg_grad(const Array& dy) {
  return neg(dy);
}

// y = x^2;  dx = 2 x dy.
inline Array square(const Array& x) {
  return map(x, [](double v) { return v * v; });
}
inline Array square_grad(const Array& dy, const Array& x) {
  return map(dy, x, [](double d, double v) { return 2.0 * v * d; });
}

// y = e^x;  dx = dy y.
inline Array exp(const Array& x) {
  return map(x, [](double v) { return std::exp(v); });
}
inline Array exp_grad(const Array& dy, const Array& y) {
  return map(dy, y, [](double d, double v) { return d * v; });
}

// y = ln x;  dx = dy / x.
inline Array log(const Array& x) {
  return map(x, [](double v) { return std::log(v); });
}
inline Array log_grad(const Array& dy, const Array& x) {
  return map(dy, x, [](double d, double v) { return d / v; });
}

// y = sqrt x;  dx = dy / (2 y).
inline Array sqrt(const Array& x) {
  return map(x, [](double v) { return std::sqrt(v); });
}
inline Array sqrt_grad(const Array& dy, const Array& y) {
  return map(dy, y, [](double d, double v) { return d / (2.0 * v); });
}

// y = x s, s = 1 / (1 + e^-x);  dx = dy s (1 + x (1 - s)).
inline Array silu(const Array& x) {
  return map(x, [](double v) { return v / (1.0 + std::exp(-v)); });
}
inline Array silu_grad(const Array& dy, const Array& x) {
  return map(dy, x, [](double d, double v) {
    const double s = 1.0 / (1.0 + std::exp(-v));
    return d * s * (1.0 + v * (1.0 - s));
  });
}

// y = 1 / (1 + e^-x);  dx = dy y (1 - y).
inline Array sigmoid(const Array& x) {
  return map(x, [](double v) { return 1.0 / (1.0 + std::exp(-v)); });
}
inline Array sigmoid_grad(const Array& dy, const Array& y) {
  return map(dy, y, [](double d, double v) { return d * v * (1.0 - v); });
}

// y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2;  dx = dy (P(x) + x P'(x)), P'(x) the normal
// density.
inline Array gelu(const Array& x) {
  return map(x, [](double v) { return v * std::erfc(-v / std::sqrt(2.0)) / 2.0; });
}
inline Array gelu_grad(const Array& dy, const Array& x) {
  return map(dy, x, [](double d, double v) {
    const double density = std::exp(-v * v / 2.0) / std::sqrt(2.0 * std::acos(-1.0));
    return d * (std::erfc(-v / std::sqrt(2.0)) / 2.0 + v * density);
  });
}

// y = |x|;  dx = dy sign(x), 0 at x = 0.
inline Array abs(const Array& x) {
  return map(x, [](double v) { return std::abs(v); });
}
inline Array abs_grad(const Array& dy, const Array& x) {
  return map(dy, x, [](double d, double v) { return v > 0.0 ? d : (v < 0.0 ? -d : 0.0); });
}

// y = a x;  dx = a dy.   y = x + a;  dx = dy.
inline Array scale(const Array& x, double a) {
  return map(x, [a](double v) { return a * v; });
}
inline Array scale_grad(const Array& dy, double a) {
  return scale(dy, a);
}
inline Array shift(const Array& x, double a) {
  return map(x, [a](double v) { return v + a; });
}
inline Array shift_grad(const Array& dy) {
  return dy;
}

// ---- two inputs of equal shape ----

// y = a + b;  da = dy,  db = dy.
inline Array add(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u + v; });
}
inline Two add_grad(const Array& dy) {
  return {dy, dy};
}

// y = max(a + b, 0), the end of a residual block;  da = db = dy where y > 0, else 0.
inline Array add_relu(const Array& a, const Array& b) {
  return relu(add(a, b));
}
inline Two add_relu_grad(const Array& dy, const Array& y) {
  return add_grad(relu_grad(dy, y));
}

// y = a - b;  da = dy,  db = -dy.
inline Array sub(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u - v; });
}
inline Two sub_grad(const Array& dy) {
  return {dy, neg(dy)};
}

// y = a b;  da = dy b,  db = dy a.
inline Array mul(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u * v; });
}
inline Two mul_grad(const Array& dy, const Array& a, const Array& b) {
  return {mul(dy, b), mul(dy, a)};
}

// y = a / b;  da = dy / b,  db = -dy a / b^2.
inline Array div(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u / v; });
}
inline Two div_grad(const Array& dy, const Array& a, const Array& b) {
  return {div(dy, b), neg(div(mul(dy, a), mul(b, b)))};
}

// y = max(a, b);  da = dy where a > b, else 0,  db = dy - da.   y = min(a, b): where a < b.
inline Array maximum(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u > v ? u : v; });
}
inline Two maximum_grad(const Array& dy, const Array& a, const Array& b) {
  const Array da = relu_grad(dy, sub(a, b));
  return {da, sub(dy, da)};
}
inline Array minimum(const Array& a, const Array& b) {
  return map(a, b, [](double u, double v) { return u < v ? u : v; });
}
inline Two minimum_grad(const Array& dy, const Array& a, const Array& b) {
  const Array da = relu_grad(dy, sub(b, a));
  return {da, sub(dy, da)};
}

// y = min(max(x, low), high);  dx = dy where low < x < high, else 0.
inline Array clamp(const Array& x, double low, double high) {
  return map(x, [=](double v) { return std::clamp(v, low, high); });
}
inline Array clamp_grad(const Array& dy, const Array& x, double low, double high) {
  return map(dy, x, [=](double d, double v) { return low < v && v < high ? d : 0.0; });
}

// y = x^p, x > 0;  dx = dy p x^(p-1).
inline Array pow(const Array& x, double p) {
  return map(x, [=](double v) { return std::pow(v, p); });
}
inline Array pow_grad(const Array& dy, const Array& x, double p) {
  return map(dy, x, [=](double d, double v) { return d * p * std::pow(v, p - 1.0); });
}

// ---- sums ----

// y = sum of all elements;  dx = dy everywhere.
inline double sum(const Array& x) {
  double total = 0.0;
  for (double value : x.data) total += value;
  return total;
}
inline Array sum_grad(double dy, const Shape& x_shape) {
  return filled(x_shape, dy);
}

// y = sum / count;  dx = dy / count everywhere.
inline double mean(const Array& x) {
  return sum(x) / static_cast<double>(x.count());
}
inline Array mean_grad(double dy, const Shape& x_shape) {
  return filled(x_shape, dy / static_cast<double>(count_of(x_shape)));
}

// y[c] = sum over r of x[r,c];  dx[r,c] = dy[c].   x [R,C], y [C].
inline Array sum_axis0(const Array& x) {
  Array y = zeros({x.dim(1)});
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = 0; c < x.dim(1); ++c) y[c] += x.at(r, c);
  return y;
}
inline Array sum_axis0_grad(const Array& dy, int64_t rows) {
  Array dx = zeros({rows, dy.dim(0)});
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < dy.dim(0); ++c) dx.at(r, c) = dy[c];
  return dx;
}

// y[r] = sum over c of x[r,c];  dx[r,c] = dy[r].   x [R,C], y [R].
inline Array sum_axis1(const Array& x) {
  Array y = zeros({x.dim(0)});
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = 0; c < x.dim(1); ++c) y[r] += x.at(r, c);
  return y;
}
inline Array sum_axis1_grad(const Array& dy, int64_t columns) {
  Array dx = zeros({dy.dim(0), columns});
  for (int64_t r = 0; r < dy.dim(0); ++r)
    for (int64_t c = 0; c < columns; ++c) dx.at(r, c) = dy[r];
  return dx;
}

// y = mean of (a - b)^2 over all elements;  da = 2 dy (a - b) / count,  db = -da.
inline double mse(const Array& a, const Array& b) {
  return mean(square(sub(a, b)));
}
inline Two mse_grad(double dy, const Array& a, const Array& b) {
  const Array da = scale(sub(a, b), 2.0 * dy / static_cast<double>(a.count()));
  return {da, neg(da)};
}

// ---- a vector [C] and every row of [R,C] ----

// y[r,c] = x[r,c] + v[c];  dx = dy,  dv[c] = sum over r of dy[r,c].
inline Array add_to_rows(const Array& x, const Array& v) {
  require(v.count() == x.dim(1), "add_to_rows sizes differ");
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = 0; c < x.dim(1); ++c) y.at(r, c) += v[c];
  return y;
}
inline Two add_to_rows_grad(const Array& dy) {
  return {dy, sum_axis0(dy)};
}

// y[r,c] = x[r,c] v[c];  dx[r,c] = dy[r,c] v[c],  dv[c] = sum over r of dy[r,c] x[r,c].
inline Array mul_rows(const Array& x, const Array& v) {
  require(v.count() == x.dim(1), "mul_rows sizes differ");
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = 0; c < x.dim(1); ++c) y.at(r, c) *= v[c];
  return y;
}
inline Two mul_rows_grad(const Array& dy, const Array& x, const Array& v) {
  return {mul_rows(dy, v), sum_axis0(mul(dy, x))};
}

// ---- rows of [R,C] ----

// y[r,c] = s[r] x[r,c];  dx[r,c] = s[r] dy[r,c],  ds[r] = sum over c of dy[r,c] x[r,c].   s [R].
inline Array scale_rows(const Array& x, const Array& s) {
  require(s.count() == x.dim(0), "scale_rows sizes differ");
  Array y = x;
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t c = 0; c < x.dim(1); ++c) y.at(r, c) *= s[r];
  return y;
}
inline Two scale_rows_grad(const Array& dy, const Array& x, const Array& s) {
  return {scale_rows(dy, s), sum_axis1(mul(dy, x))};
}

// y[r,:] = x[r,:] / n with n = sqrt(|x[r,:]|^2 + e);  dx = (dy - (dy.y) y) / n.
inline Array inverse_lengths(const Array& x, double e) {
  return map(sum_axis1(square(x)), [e](double v) { return 1.0 / std::sqrt(v + e); });
}
inline Array normalize_rows(const Array& x, double e) {
  return scale_rows(x, inverse_lengths(x, e));
}
inline Array normalize_rows_grad(const Array& dy, const Array& x, double e) {
  const Array y = normalize_rows(x, e), along = sum_axis1(mul(dy, y));
  return scale_rows(sub(dy, scale_rows(y, along)), inverse_lengths(x, e));
}

}  // namespace versor::reference
