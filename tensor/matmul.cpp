// Front end of the matrix product: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b,
              const Tensor& bias) {
  Backend& backend = same_device("matmul", {&a, &b});
  check_f32("matmul", {&a, &b});
  check_matrix("matmul", a);
  check_matrix("matmul", b);
  const int64_t inner_a = a.dim(transpose_a ? 0 : 1), inner_b = b.dim(transpose_b ? 1 : 0);
  check(inner_a == inner_b, "matmul", "inner sizes ", inner_a, " and ", inner_b, " differ (a ",
        a.shape(), transpose_a ? " transposed" : "", ", b ", b.shape(),
        transpose_b ? " transposed" : "", ")");
  Tensor y({a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)}, DType::f32, a.device());
  if (bias.defined()) {
    same_device("matmul", {&a, &bias});
    check_f32("matmul", {&bias});
    check(bias.shape() == Shape{y.dim(1)}, "matmul", "bias ", bias.shape(), " does not match ",
          y.dim(1), " columns");
  }
  TraceScope trace("matmul", backend, 2 * count(y) * static_cast<double>(inner_a), {&y, &a, &b});
  trace.run(backend, &Backend::matmul, y, a, b, transpose_a, transpose_b, bias);
  return y;
}

}  // namespace versor::ops
