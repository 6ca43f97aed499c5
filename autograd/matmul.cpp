// Matrix products and their derivatives.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y = a b;  da = dy b^T, db = a^T dy.
Variable matmul(const Variable& a, const Variable& b) {
  const Tensor va = a.value(), vb = b.value();
  return record("matmul", ops::matmul(va, vb), {a, b}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::matmul(dy, vb, false, true) : Tensor(),
                     needed[1] ? ops::matmul(va, dy, true, false) : Tensor()};
  });
}

// y = x w^T + bias;  dx = dy w, dw = dy^T x, dbias = sum over the rows of dy.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  const Tensor vx = x.value(), w = weight.value();
  const Tensor y = ops::matmul(vx, w, false, true, bias.defined() ? bias.value() : Tensor());
  return record("linear", y, {x, weight, bias}, [=](const Tensor& dy, const Needed& needed) {
    return Gradients{needed[0] ? ops::matmul(dy, w) : Tensor(),
                     needed[1] ? ops::matmul(dy, vx, true, false) : Tensor(),
                     needed[2] ? ops::sum_axis0(dy) : Tensor()};
  });
}

}  // namespace versor
