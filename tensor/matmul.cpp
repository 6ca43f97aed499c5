// Front end of the matrix product: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

namespace {

// All leading axes as one, [...,R,C] -> [B,R,C]; a matrix alone stays one.
Tensor matrices_of(const Tensor& t) {
  if (t.shape().rank() == 2) return t;
  const int64_t rows = t.dim(-2), columns = t.dim(-1), per_matrix = rows * columns;
  return t.reshape({per_matrix == 0 ? t.dim(0) : t.numel() / per_matrix, rows, columns});
}

// The shape of t with other last axes.
Shape with_last_axes(const Tensor& t, int64_t rows, int64_t columns) {
  std::vector<int64_t> extents(t.shape().begin(), t.shape().end() - 2);
  extents.push_back(rows);
  extents.push_back(columns);
  return Shape(std::span<const int64_t>(extents));
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
              const Tensor& bias) {
  Backend& backend = same_device("matmul", {&a, &b});
  check_float("matmul", {&a, &b});
  check(a.shape().rank() >= 2, "matmul", "needs matrices [...,M,L], got ", a.shape());
  check(b.shape().rank() >= 2 && with_last_axes(a, 1, 1) == with_last_axes(b, 1, 1), "matmul",
        "the leading axes of ", a.shape(), " and ", b.shape(), " differ");
  const int64_t inner_a = a.dim(transpose_a ? -2 : -1), inner_b = b.dim(transpose_b ? -1 : -2);
  check(inner_a == inner_b, "matmul", "inner sizes ", inner_a, " and ", inner_b, " differ (a ",
        a.shape(), transpose_a ? " transposed" : "", ", b ", b.shape(),
        transpose_b ? " transposed" : "", ")");
  Tensor y(with_last_axes(a, a.dim(transpose_a ? -1 : -2), b.dim(transpose_b ? -2 : -1)), a.dtype(),
           a.device());
  if (bias.defined()) {
    same_device("matmul", {&a, &bias});
    check_f32("matmul", {&bias});
    check(y.shape().rank() == 2 && bias.shape() == Shape{y.dim(1)}, "matmul", "bias ", bias.shape(),
          " does not match the rows of ", y.shape());
  }
  TraceScope trace("matmul", backend, 2 * count(y) * static_cast<double>(inner_a), {&y, &a, &b});
  Tensor matrices = matrices_of(y);
  trace.run(backend, &Backend::matmul, matrices, matrices_of(a), matrices_of(b), transpose_a,
            transpose_b, bias);
  return y;
}

}  // namespace versor::ops
