// Reductions to a scalar and their derivatives.
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

}  // namespace versor
