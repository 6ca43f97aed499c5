// Front end of softmax and argmax: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

Tensor softmax(const Tensor& x) {
  Backend& backend = same_device("softmax", {&x});
  check_f32("softmax", {&x});
  check_matrix("softmax", x);
  Tensor y(x.shape(), DType::f32, x.device());
  TraceScope trace("softmax", backend, 4 * count(x), {&y, &x});
  trace.run(backend, &Backend::softmax, y, x);
  return y;
}

Tensor softmax_grad(Tensor dy, const Tensor& y) {
  Backend& backend = same_device("softmax_grad", {&dy, &y});
  check_f32("softmax_grad", {&dy, &y});
  check_matrix("softmax_grad", y);
  check_same_shape("softmax_grad", dy, y);
  Tensor dx = reused(dy);
  TraceScope trace("softmax_grad", backend, 4 * count(y), {&dx, &dy, &y});
  trace.run(backend, &Backend::softmax_grad, dx, dy, y);
  return dx;
}

Tensor log_softmax(const Tensor& x) {
  same_device("log_softmax", {&x});
  check_f32("log_softmax", {&x});
  check_matrix("log_softmax", x);
  const Shape column{x.dim(0), 1};
  const Tensor largest = pick(x, argmax(x)).reshape(column);
  const Tensor below = sub(x, expand(largest, x.shape()));
  const Tensor total = unary(sum_axis1(unary(below, UnaryOp::exp)), UnaryOp::log);
  return sub(below, expand(total.reshape(column), x.shape()));
}

Tensor argmax(const Tensor& x) {
  Backend& backend = same_device("argmax", {&x});
  check_f32("argmax", {&x});
  check_matrix("argmax", x);
  check(x.dim(1) > 0, "argmax", "there is nothing to choose from in ", x.shape());
  Tensor index({x.dim(0)}, DType::i32, x.device());
  TraceScope trace("argmax", backend, count(x), {&index, &x});
  trace.run(backend, &Backend::argmax, index, x);
  return index;
}

}  // namespace versor::ops
