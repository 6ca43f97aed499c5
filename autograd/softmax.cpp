// Softmax and its derivative.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y[r,k] = exp(x[r,k]) / sum of exp(x[r,j]) over j;
// dx[r,k] = y[r,k] (dy[r,k] - sum of dy[r,j] y[r,j] over j).
Variable softmax(const Variable& x) {
  const Tensor y = ops::softmax(x.value());
  return record("softmax", y, {x}, [=](Tensor dy) { return ops::softmax_grad(std::move(dy), y); });
}

}  // namespace versor
