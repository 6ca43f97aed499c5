// Matrix products and their derivatives.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y = a b;  da = dy b^T, db = a^T dy.
Variable matmul(const Variable& a, const Variable& b) {
  const Tensor va = a.value(), vb = b.value();
  const bool need_a = a.requires_grad(), need_b = b.requires_grad();
  return record("matmul", ops::matmul(va, vb), {a, b}, [=](const Tensor& dy) {
    return Gradients{need_a ? ops::matmul(dy, vb, false, true) : Tensor(),
                     need_b ? ops::matmul(va, dy, true, false) : Tensor()};
  });
}

// y = x w^T + bias;  dx = dy w, dw = dy^T x, dbias = sum over the rows of dy.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  const Tensor vx = x.value(), w = weight.value();
  const bool has_bias = bias.defined();
  const bool need_x = x.requires_grad(), need_weight = weight.requires_grad();
  const Tensor y = ops::matmul(vx, w, false, true, has_bias ? bias.value() : Tensor());
  std::vector<Variable> inputs{x, weight};
  if (has_bias) inputs.push_back(bias);
  return record("linear", y, inputs, [=](const Tensor& dy) {
    std::vector<Tensor> d{need_x ? ops::matmul(dy, w) : Tensor(),
                          need_weight ? ops::matmul(dy, vx, true, false) : Tensor()};
    if (has_bias) d.push_back(ops::sum_rows(dy));
    return Gradients(std::move(d));
  });
}

}  // namespace versor
