// Pooling of images, and the normalisation of rows.
#pragma once

#include <cmath>

#include "tests/reference_array.h"

namespace versor::reference {

// y[n,h,w,c] = the largest, or the mean, of x[n, s h + i - p, s w + j - p, c] over i, j < k, where
// x outside the image is never the largest, and 0 in the mean; the gradient goes to the first of
// the largest, or in equal parts to all.   x [N,H,W,C]
struct Pool {
  int64_t k, s, p;
  bool largest;

  int64_t size(int64_t in) const { return (in + 2 * p - k) / s + 1; }

  // Calls f(n, h, w, c, the pixels' places in x, row by row) for every window.
  template <class F>
  void each(const Array& x, F f) const {
    for (int64_t n = 0; n < x.dim(0); ++n)
      for (int64_t h = 0; h < size(x.dim(1)); ++h)
        for (int64_t w = 0; w < size(x.dim(2)); ++w)
          for (int64_t c = 0; c < x.dim(3); ++c) {
            Indices pixels;
            for (int64_t i = 0; i < k * k; ++i) {
              const int64_t row = s * h + i / k - p, column = s * w + i % k - p;
              if (row >= 0 && row < x.dim(1) && column >= 0 && column < x.dim(2))
                pixels.push_back(x.offset(n, row, column, c));
            }
            f(n, h, w, c, pixels);
          }
  }
  static int64_t best_of(const Array& x, const Indices& pixels) {
    int64_t best = pixels.at(0);
    for (int64_t at : pixels) best = x[at] > x[best] ? at : best;
    return best;
  }
  Array value(const Array& x) const {
    Array y = zeros({x.dim(0), size(x.dim(1)), size(x.dim(2)), x.dim(3)});
    each(x, [&](int64_t n, int64_t h, int64_t w, int64_t c, const Indices& pixels) {
      double total = 0.0;
      for (int64_t at : pixels) total += x[at];
      y.at(n, h, w, c) = largest ? x[best_of(x, pixels)] : total / static_cast<double>(k * k);
    });
    return y;
  }
  Array gradient(const Array& dy, const Array& x) const {
    Array dx = zeros(x.shape);
    each(x, [&](int64_t n, int64_t h, int64_t w, int64_t c, const Indices& pixels) {
      if (largest)
        dx[best_of(x, pixels)] += dy.at(n, h, w, c);
      else
        for (int64_t at : pixels) dx[at] += dy.at(n, h, w, c) / static_cast<double>(k * k);
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
