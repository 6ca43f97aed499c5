// Front end of softmax and argmax: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

Tensor softmax(const Tensor& x, bool causal) {
  Backend& backend = same_device("softmax", {&x});
  check_f32("softmax", {&x});
  const int rank = x.shape().rank();
  check(rank >= (causal ? 2 : 1), "softmax", "needs ", causal ? "matrices" : "rows", ", got ",
        x.shape());
  check(!causal || x.dim(-1) >= x.dim(-2), "softmax", "the first rows of ", x.shape(),
        " would see no column");
  Tensor y(x.shape(), DType::f32, x.device());
  TraceScope trace("softmax", backend, 4 * count(x), {&y, &x});
  Tensor y_rows = y.flat_rows();
  trace.run(backend, &Backend::softmax, y_rows, x.flat_rows(), causal ? x.dim(-2) : 0);
  return y;
}

Tensor softmax_grad(Tensor dy, const Tensor& y) {
  Backend& backend = same_device("softmax_grad", {&dy, &y});
  check_f32("softmax_grad", {&dy, &y});
  check_same_shape("softmax_grad", dy, y);
  Tensor dx = reused(dy);
  TraceScope trace("softmax_grad", backend, 4 * count(y), {&dx, &dy, &y});
  Tensor dx_rows = dx.flat_rows();
  trace.run(backend, &Backend::softmax_grad, dx_rows, dy.flat_rows(), y.flat_rows());
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

Tensor cross_entropy(const Tensor& x, const Tensor& label) {
  Backend& backend = check_choice("cross_entropy", x, label);
  Tensor loss({x.dim(0)}, DType::f32, x.device());
  TraceScope trace("cross_entropy", backend, 3 * count(x), {&loss, &x, &label});
  trace.run(backend, &Backend::cross_entropy, loss, x, label);
  return loss;
}

Tensor cross_entropy_grad(const Tensor& dloss, const Tensor& x, const Tensor& label) {
  Backend& backend = check_choice("cross_entropy_grad", x, label);
  same_device("cross_entropy_grad", {&x, &dloss});
  check_f32("cross_entropy_grad", {&dloss});
  check(dloss.shape() == Shape{x.dim(0)}, "cross_entropy_grad", "gradient ", dloss.shape(),
        " does not match the rows of ", x.shape());
  Tensor dx(x.shape(), DType::f32, x.device());
  TraceScope trace("cross_entropy_grad", backend, 4 * count(x), {&dx, &dloss, &x, &label});
  trace.run(backend, &Backend::cross_entropy_grad, dx, dloss, x, label);
  return dx;
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
