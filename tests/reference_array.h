// The basis of the double-precision reference: an array, a random generator, and what every
// gradient test needs, finite differences and relative errors. Uses only the standard library. A
// gradient is always that of the scalar f = <dy, y> with respect to an input of y. Read next:
// reference_conv.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace versor::reference {

using Shape = std::vector<int64_t>;
using Indices = std::vector<int64_t>;

inline int64_t count_of(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// The reference refuses shapes that do not fit, so that it never reads out of bounds.
inline void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument("reference: " + message);
}

// Row-major: the last axis is contiguous. Array{} has no elements and stands for "no bias".
struct Array {
  Shape shape;
  std::vector<double> data;

  int64_t count() const { return static_cast<int64_t>(data.size()); }
  int64_t dim(size_t axis) const { return shape.at(axis); }

  double& operator[](int64_t i) { return data[static_cast<size_t>(i)]; }
  double operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }

  // Matrices [R,C].
  double& at(int64_t r, int64_t c) { return (*this)[r * shape[1] + c]; }
  double at(int64_t r, int64_t c) const { return (*this)[r * shape[1] + c]; }

  // Images [N,H,W,C] and convolution weights [O,kh,kw,I].
  double& at(int64_t n, int64_t h, int64_t w, int64_t c) { return (*this)[offset(n, h, w, c)]; }
  double at(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return (*this)[offset(n, h, w, c)];
  }

  int64_t offset(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return ((n * shape[1] + h) * shape[2] + w) * shape[3] + c;
  }
};

inline Array filled(const Shape& shape, double value) {
  return {shape, std::vector<double>(static_cast<size_t>(count_of(shape)), value)};
}

inline Array zeros(const Shape& shape) {
  return filled(shape, 0.0);
}

// A number as an array of shape {}, for functions of one value.
inline Array scalar(double value) {
  return {{}, {value}};
}

// One row of a matrix [R,D] as a vector [D].
inline Array row_of(const Array& x, int64_t r) {
  Array y = zeros({x.dim(1)});
  for (int64_t d = 0; d < x.dim(1); ++d) y[d] = x.at(r, d);
  return y;
}

// <a, b>, the sum of products over all elements.
inline double dot(const Array& a, const Array& b) {
  require(a.shape == b.shape, "dot needs equal shapes");
  double total = 0.0;
  for (int64_t i = 0; i < a.count(); ++i) total += a[i] * b[i];
  return total;
}

inline double norm(const Array& a) {
  return std::sqrt(dot(a, a));
}

// ||value - expected|| / ||expected||; the plain ||value|| where everything expected is zero.
// A NaN on either side gives NaN, so that `error <= tolerance` is false.
inline double relative_error(const Array& value, const Array& expected) {
  require(value.shape == expected.shape, "relative_error needs equal shapes");
  Array difference = value;
  for (int64_t i = 0; i < value.count(); ++i) difference[i] -= expected[i];
  const double scale = norm(expected);
  return scale == 0.0 ? norm(difference) : norm(difference) / scale;
}

// d<dy, f(x)>/dx[i] ~ <dy, f(x + h e_i) - f(x - h e_i)> / 2h (central differences).
// The step balances the error h^2 of the formula against the rounding 1e-16 / h.
inline Array finite_difference(const std::function<Array(const Array&)>& f, const Array& x,
                               const Array& dy) {
  constexpr double kStep = 1e-5;
  Array moved = x;
  Array gradient = zeros(x.shape);
  for (int64_t i = 0; i < x.count(); ++i) {
    moved[i] = x[i] + kStep;
    Array change = f(moved);
    moved[i] = x[i] - kStep;
    const Array below = f(moved);
    moved[i] = x[i];
    for (int64_t k = 0; k < change.count(); ++k) change[k] -= below[k];
    gradient[i] = dot(dy, change) / (2.0 * kStep);
  }
  return gradient;
}

// The relative error of a gradient function against the finite difference of its forward function;
// up to 1e-6 passes.
inline double gradient_error(const Array& gradient, const std::function<Array(const Array&)>& f,
                             const Array& x, const Array& dy) {
  return relative_error(gradient, finite_difference(f, x, dy));
}

// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers for the same seed on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  // Uniform in [low, high), from the upper 53 bits.
  double uniform(double low = -1.0, double high = 1.0) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1.0p-53;
  }

  // 0 <= index < count; the remainder's bias is far below anything a test sees.
  int64_t index(int64_t count) {
    return static_cast<int64_t>(next() % static_cast<uint64_t>(count));
  }

  Array array(const Shape& shape, double low = -1.0, double high = 1.0) {
    Array x = zeros(shape);
    for (double& value : x.data) value = uniform(low, high);
    return x;
  }

  // Magnitudes in [0.1, 1) with random signs, so that no element is near a kink or pole at zero.
  Array away_from_zero(const Shape& shape) {
    Array x = array(shape, 0.1, 1.0);
    for (double& value : x.data) value = (next() >> 63) != 0 ? -value : value;
    return x;
  }

  Indices indices(int64_t how_many, int64_t count) {
    Indices chosen(static_cast<size_t>(how_many));
    for (int64_t& i : chosen) i = index(count);
    return chosen;
  }

 private:
  uint64_t state_;
};

}  // namespace versor::reference
