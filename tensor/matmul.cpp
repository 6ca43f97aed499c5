// Front end of the matrix product: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

void matmul_into(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  check_matrix("matmul", a);
  check_matrix("matmul", b);
  check_f32("matmul", {&y, &a, &b});
  Backend& backend = same_device("matmul", {&y, &a, &b});
  const int64_t inner_a = a.dim(transpose_a ? 0 : 1), inner_b = b.dim(transpose_b ? 1 : 0);
  const Shape expected{a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)};
  check(inner_a == inner_b, "matmul", "inner sizes ", inner_a, " and ", inner_b, " differ (a ",
        a.shape(), transpose_a ? " transposed" : "", ", b ", b.shape(),
        transpose_b ? " transposed" : "", ")");
  check(y.shape() == expected, "matmul", "output ", y.shape(), " is not ", expected);
  TraceScope trace("matmul", backend, 2 * count(y) * static_cast<double>(inner_a), {&y, &a, &b});
  backend.matmul(y, a, b, transpose_a, transpose_b, {});
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
              const Tensor& bias) {
  check_matrix("matmul", a);
  check_matrix("matmul", b);
  Tensor y({a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)}, DType::f32, a.device());
  if (!bias.defined()) {
    matmul_into(y, a, b, transpose_a, transpose_b);
    return y;
  }
  check(bias.shape() == Shape{y.dim(1)}, "matmul", "bias ", bias.shape(), " does not match ",
        y.dim(1), " columns");
  check_f32("matmul", {&a, &b, &bias});
  const int64_t inner = a.dim(transpose_a ? 0 : 1);
  check(inner == b.dim(transpose_b ? 1 : 0), "matmul", "inner sizes differ (a ", a.shape(),
        transpose_a ? " transposed" : "", ", b ", b.shape(), transpose_b ? " transposed" : "", ")");
  Backend& backend = same_device("matmul", {&y, &a, &b, &bias});
  TraceScope trace("matmul", backend, 2 * count(y) * static_cast<double>(inner), {&y, &a, &b});
  backend.matmul(y, a, b, transpose_a, transpose_b, bias);
  return y;
}

}  // namespace versor::ops
