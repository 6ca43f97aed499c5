// Matrix product and linear layer with their gradients, as three plain loops each.
// Read next: reference_elementwise.h.
#pragma once

#include <utility>

#include "tests/reference_array.h"

namespace versor::reference {

// Where element (m, k) of op(a) lies in a, and the sizes of op(a) = a or a^T.
struct MatrixView {
  int64_t rows, columns;  // of op(a)
  int64_t row_step, column_step;

  MatrixView(const Array& a, bool transposed)
      : rows(a.dim(transposed ? 1 : 0)),
        columns(a.dim(transposed ? 0 : 1)),
        row_step(transposed ? 1 : a.dim(1)),
        column_step(transposed ? a.dim(1) : 1) {}

  int64_t offset(int64_t r, int64_t c) const { return r * row_step + c * column_step; }
};

// y[m,n] = sum over k of op(a)[m,k] * op(b)[k,n].  op(a) [M,K], op(b) [K,N], y [M,N].
inline Array matmul(const Array& a, const Array& b, bool trans_a, bool trans_b) {
  const MatrixView va(a, trans_a), vb(b, trans_b);
  require(va.columns == vb.rows, "matmul inner sizes differ");
  Array y = zeros({va.rows, vb.columns});
  for (int64_t m = 0; m < va.rows; ++m)
    for (int64_t n = 0; n < vb.columns; ++n)
      for (int64_t k = 0; k < va.columns; ++k)
        y.at(m, n) += a[va.offset(m, k)] * b[vb.offset(k, n)];
  return y;
}

// {da, db}: d op(a) = dy op(b)^T and d op(b) = op(a)^T dy, each stored in the layout of a and b.
inline std::pair<Array, Array> matmul_grad(const Array& dy, const Array& a, const Array& b,
                                           bool trans_a, bool trans_b) {
  const MatrixView va(a, trans_a), vb(b, trans_b);
  Array da = zeros(a.shape), db = zeros(b.shape);
  for (int64_t m = 0; m < va.rows; ++m)
    for (int64_t n = 0; n < vb.columns; ++n)
      for (int64_t k = 0; k < va.columns; ++k) {
        da[va.offset(m, k)] += dy.at(m, n) * b[vb.offset(k, n)];
        db[vb.offset(k, n)] += a[va.offset(m, k)] * dy.at(m, n);
      }
  return {da, db};
}

// y[r,o] = b[o] + sum over i of x[r,i] * w[o,i].  x [R,I], w [O,I], b [O] or Array{}; y [R,O].
inline Array linear(const Array& x, const Array& w, const Array& b) {
  require(x.dim(1) == w.dim(1), "linear input sizes differ");
  Array y = zeros({x.dim(0), w.dim(0)});
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t o = 0; o < w.dim(0); ++o) {
      y.at(r, o) = b.count() == 0 ? 0.0 : b[o];
      for (int64_t i = 0; i < x.dim(1); ++i) y.at(r, o) += x.at(r, i) * w.at(o, i);
    }
  return y;
}

struct LinearGradients {
  Array x, w, b;  // [R,I], [O,I], [O]
};

// dx = dy w,  dw = dy^T x,  db[o] = sum over r of dy[r,o].
inline LinearGradients linear_grad(const Array& dy, const Array& x, const Array& w) {
  LinearGradients d{zeros(x.shape), zeros(w.shape), zeros({w.dim(0)})};
  for (int64_t r = 0; r < x.dim(0); ++r)
    for (int64_t o = 0; o < w.dim(0); ++o) {
      d.b[o] += dy.at(r, o);
      for (int64_t i = 0; i < x.dim(1); ++i) {
        d.x.at(r, i) += dy.at(r, o) * w.at(o, i);
        d.w.at(o, i) += dy.at(r, o) * x.at(r, i);
      }
    }
  return d;
}

}  // namespace versor::reference
