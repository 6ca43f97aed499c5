// Pooling of images by squares that do not overlap, and the normalisation of rows.
#pragma once

#include <cmath>

#include "tests/reference_array.h"

namespace versor::reference {

// y[n,h,w,c] = the largest, or the mean, of x[n, k h + i, k w + j, c] over i, j < k; the gradient
// goes to the first of the largest, or in equal parts to all.   x [N,H,W,C], y [N,H/k,W/k,C]
struct Pool {
  int64_t k;
  bool largest;

  // Calls f(the output's n, h, w, c and its window's first row and column).
  template <class F>
  void each(const Array& x, F f) const {
    for (int64_t n = 0; n < x.dim(0); ++n)
      for (int64_t h = 0; h < x.dim(1) / k; ++h)
        for (int64_t w = 0; w < x.dim(2) / k; ++w)
          for (int64_t c = 0; c < x.dim(3); ++c) f(n, h, w, c);
  }
  // The place of the largest in the window, counted row by row.
  int64_t place(const Array& x, int64_t n, int64_t h, int64_t w, int64_t c) const {
    int64_t best = 0;
    for (int64_t i = 1; i < k * k; ++i)
      if (x.at(n, k * h + i / k, k * w + i % k, c) > x.at(n, k * h + best / k, k * w + best % k, c))
        best = i;
    return best;
  }
  Array value(const Array& x) const {
    Array y = zeros({x.dim(0), x.dim(1) / k, x.dim(2) / k, x.dim(3)});
    each(x, [&](int64_t n, int64_t h, int64_t w, int64_t c) {
      const int64_t best = place(x, n, h, w, c);
      double total = 0.0;
      for (int64_t i = 0; i < k * k; ++i) total += x.at(n, k * h + i / k, k * w + i % k, c);
      y.at(n, h, w, c) = largest ? x.at(n, k * h + best / k, k * w + best % k, c)
                                 : total / static_cast<double>(k * k);
    });
    return y;
  }
  Array gradient(const Array& dy, const Array& x) const {
    Array dx = zeros(x.shape);
    each(x, [&](int64_t n, int64_t h, int64_t w, int64_t c) {
      const int64_t best = place(x, n, h, w, c);
      for (int64_t i = 0; i < k * k; ++i)
        dx.at(n, k * h + i / k, k * w + i % k, c) =
            !largest ? dy.at(n, h, w, c) / static_cast<double>(k * k)
                     : (i == best ? dy.at(n, h, w, c) : 0.0);
    });
    return dx;
  }
};

// y[r,c] = x^[r,c] w[c] + b[c] with x^ = (x - mean of the row) / sqrt(its variance + e);
// dx = (g - mean of g - x^ mean of g x^) / sqrt(variance + e) with g = dy w.   x [R,C], w, b [C]
struct RowNorm {
  Array normalized, scale;  // x^ [R,C], 1 / sqrt(variance + e) [R]

  RowNorm(const Array& x, double e) : normalized(x), scale(zeros({x.dim(0)})) {
    const auto columns = static_cast<double>(x.dim(1));
    for (int64_t r = 0; r < x.dim(0); ++r) {
      double sum = 0.0, squares = 0.0;
      for (double v : row_of(x, r).data) sum += v;
      for (double v : row_of(x, r).data) squares += (v - sum / columns) * (v - sum / columns);
      scale[r] = 1.0 / std::sqrt(squares / columns + e);
      for (int64_t c = 0; c < x.dim(1); ++c)
        normalized.at(r, c) = (x.at(r, c) - sum / columns) * scale[r];
    }
  }
  Array value(const Array& w, const Array& b) const {
    Array y = normalized;
    for (int64_t i = 0; i < y.count(); ++i) y[i] = y[i] * w[i % w.count()] + b[i % b.count()];
    return y;
  }
  Array gradient(const Array& dy, const Array& w) const {
    Array dx = dy;
    for (int64_t i = 0; i < dx.count(); ++i) dx[i] *= w[i % w.count()];
    const auto columns = static_cast<double>(dy.dim(1));
    for (int64_t r = 0; r < dy.dim(0); ++r) {
      const Array g = row_of(dx, r), x = row_of(normalized, r);
      double mean = 0.0;
      for (double v : g.data) mean += v / columns;
      for (int64_t c = 0; c < dy.dim(1); ++c)
        dx.at(r, c) = scale[r] * (g[c] - mean - x[c] * dot(g, x) / columns);
    }
    return dx;
  }
};

}  // namespace versor::reference
