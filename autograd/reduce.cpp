// Reductions to a scalar or to one number of each row, functions of whole rows, and their
// derivatives.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// y = factor * sum of x;  dx = factor dy everywhere.
Variable scaled_sum(const char* name, const Variable& x, float factor) {
  const Shape shape = x.shape();
  return record(name, ops::sum(x.value(), factor), {x},
                [=](const Tensor& dy) { return ops::broadcast(dy, shape, factor); });
}

}  // namespace

// y = sum of x;  dx = dy.
Variable sum(const Variable& x) {
  return scaled_sum("sum", x, 1.f);
}

// y = (sum of x) / n;  dx = dy / n.
Variable mean(const Variable& x) {
  check(x.shape().numel() > 0, "mean", "the mean over no elements is undefined");
  return scaled_sum("mean", x, static_cast<float>(1.0 / static_cast<double>(x.shape().numel())));
}

// y = mean of (a - b)^2;  da = 2/n dy (a - b), db = -da.
Variable mse(const Variable& a, const Variable& b) {
  const Tensor va = a.value(), vb = b.value();
  const bool need_a = a.requires_grad(), need_b = b.requires_grad();
  return record("mse", ops::mse(va, vb), {a, b}, [=](const Tensor& dy) {
    return Gradients{need_a ? ops::mse_grad(dy, va, vb) : Tensor(),
                     need_b ? ops::mse_grad(dy, vb, va) : Tensor()};
  });
}

// y[r] = sum of x[r,c] over c;  dx[r,c] = dy[r].
Variable sum_columns(const Variable& x) {
  const Shape shape = x.shape();
  return record("sum_columns", ops::sum_columns(x.value()), {x}, [=](const Tensor& dy) {
    return ops::scale_rows(ops::full(shape, 1.f, dy.device()), dy);
  });
}

// y[r,k] = exp(x[r,k]) / sum of exp(x[r,j]) over j;
// dx[r,k] = y[r,k] (dy[r,k] - sum of dy[r,j] y[r,j] over j).
Variable softmax(const Variable& x) {
  const Tensor y = ops::softmax(x.value());
  return record("softmax", y, {x}, [=](Tensor dy) { return ops::softmax_grad(std::move(dy), y); });
}

// y[r,:] = x[r,:] / sqrt(|x[r,:]|^2 + 1e-12).
Variable normalize_rows(const Variable& x) {
  const Variable length = sqrt(add_scalar(sum_columns(square(x)), 1e-12f));
  const Variable ones(ops::full(length.shape(), 1.f, length.value().device()));
  return scale_rows(x, div(ones, length));
}

}  // namespace versor
