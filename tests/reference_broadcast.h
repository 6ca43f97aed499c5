// Repeating along axes by NumPy's rules and adding up along them, element by element.
#pragma once

#include "tests/reference_array.h"

namespace versor::reference {

// Where element i of an array of shape `to` comes from in one of shape `from`: axes are aligned
// from the last, and one of extent 1 is repeated.
inline int64_t source_of(int64_t i, const Shape& to, const Shape& from) {
  int64_t at = 0, stride = 1;
  for (size_t back = 1; back <= to.size(); ++back) {
    const int64_t extent = to[to.size() - back], position = i % extent;
    i /= extent;
    if (back > from.size()) continue;
    const int64_t own = from[from.size() - back];
    require(own == extent || own == 1, "a shape does not repeat");
    at += own == 1 ? 0 : position * stride;
    stride *= own;
  }
  return at;
}

// y = x repeated;  dx = the sum of the dy of each element's copies.
inline Array expand(const Array& x, const Shape& shape) {
  Array y = zeros(shape);
  for (int64_t i = 0; i < y.count(); ++i) y[i] = x[source_of(i, shape, x.shape)];
  return y;
}
inline Array sum_to(const Array& dy, const Shape& shape) {
  Array dx = zeros(shape);
  for (int64_t i = 0; i < dy.count(); ++i) dx[source_of(i, dy.shape, shape)] += dy[i];
  return dx;
}

}  // namespace versor::reference
