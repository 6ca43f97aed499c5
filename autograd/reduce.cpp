// Reductions to a scalar or to one number per row, functions of whole rows, and their derivatives.
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
  return mse(a, b, ops::mse(a.value(), b.value()));
}

Variable mse(const Variable& a, const Variable& b, const Tensor& value) {
  const Tensor va = a.value(), vb = b.value();
  return record("mse", value, {a, b}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::mse_grad(dy, va, vb) : Tensor(),
                     needed[1] ? ops::mse_grad(dy, vb, va) : Tensor()};
  });
}

// y[r] = sum of x[r,c] over c;  dx[r,c] = dy[r].
Variable sum_axis1(const Variable& x) {
  const Shape shape = x.shape();
  return record("sum_axis1", ops::sum_axis1(x.value()), {x}, [=](const Tensor& dy) {
    return ops::scale_rows(ops::full(shape, 1.f, dy.device()), dy);
  });
}

// y[r,:] = x[r,:] / sqrt(|x[r,:]|^2 + 1e-12).
Variable normalize_rows(const Variable& x) {
  const Variable length = sqrt(add_scalar(sum_axis1(square(x)), 1e-12f));
  const Variable ones(ops::full(length.shape(), 1.f, length.value().device()));
  return scale_rows(x, div(ones, length));
}

}  // namespace versor
