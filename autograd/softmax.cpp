// Softmax, its logarithm, choices among the columns of rows, and their derivatives.
#include "autograd/functions.h"
#include "tensor/checks.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// At least one row [R,K] of logits with a label each, i32 [R].
void check_labels(const char* who, const Tensor& logits, const Tensor& labels) {
  ops::same_device(who, {&logits, &labels});
  ops::check_matrix(who, logits);
  ops::check_dtype(who, labels, DType::i32);
  check(labels.numel() == logits.dim(0) && labels.numel() > 0, who, "labels ", labels.shape(),
        " do not match the rows of ", logits.shape());
  ops::check_indices(who, labels, logits.dim(1), "classes");
}

// y[r,k] = exp(x[r,k]) / sum of exp(x[r,j]) over j, all j that row r sees;
// dx[r,k] = y[r,k] (dy[r,k] - sum of dy[r,j] y[r,j] over j).
Variable softmax_of(const Variable& x, bool causal) {
  const Tensor y = ops::softmax(x.value(), causal);
  return record("softmax", y, {x}, [=](Tensor dy) { return ops::softmax_grad(std::move(dy), y); });
}

}  // namespace

Variable softmax(const Variable& x) {
  return softmax_of(x, false);
}
Variable causal_softmax(const Variable& x) {
  return softmax_of(x, true);
}

// y[r,k] = x[r,k] - log(sum of exp(x[r,j]) over j);
// dx[r,k] = dy[r,k] - exp(y[r,k]) * sum of dy[r,j] over j.
Variable log_softmax(const Variable& x) {
  const Tensor y = ops::log_softmax(x.value());
  return record("log_softmax", y, {x}, [=](const Tensor& dy) {
    return ops::sub(dy, ops::scale_rows(ops::unary(y, UnaryOp::exp), ops::sum_axis1(dy)));
  });
}

// y[r] = x[r,index[r]];  dx[r,k] = dy[r] where k = index[r], else 0.
Variable pick(const Variable& x, const Tensor& index) {
  const int64_t columns = x.shape()[-1];
  return record("pick", ops::pick(x.value(), index), {x}, [=](const Tensor& dy) {
    return ops::scale_rows(ops::one_hot(index, columns), dy);
  });
}

Variable max_axis1(const Variable& x) {
  return pick(x, ops::argmax(x.value()));
}

// y = mean over r of -log softmax(x)[r,label[r]];
// dx[r,k] = dy / R * (softmax(x)[r,k] - [k = label[r]]).
Variable cross_entropy(const Variable& logits, const Tensor& labels) {
  const Tensor x = logits.value();
  check_labels("cross_entropy", x, labels);
  const Shape rows{x.dim(0)};
  const auto part = static_cast<float>(1.0 / static_cast<double>(x.dim(0)));
  return record("cross_entropy", ops::sum(ops::cross_entropy(x, labels), part), {logits},
                [=](const Tensor& dy) {
                  return ops::cross_entropy_grad(ops::broadcast(dy, rows, part), x, labels);
                });
}

Tensor accuracy(const Tensor& logits, const Tensor& labels) {
  check_labels("accuracy", logits, labels);
  const Tensor hits = ops::pick(ops::one_hot(ops::argmax(logits), logits.dim(1)), labels);
  return ops::sum(hits, static_cast<float>(1.0 / static_cast<double>(hits.numel())));
}

}  // namespace versor
