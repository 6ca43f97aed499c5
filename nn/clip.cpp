// Clipping gradients: see clip.h.
#include "nn/clip.h"

#include "tensor/ops.h"

namespace versor {

Tensor clip_gradient_norm(ParameterList& parameters, float max_norm) {
  check(max_norm >= 0, "clip", "a norm is not negative, got ", max_norm);
  Tensor gradients = parameters.gather_gradients();
  const Tensor norm = ops::unary(ops::sum_of_squares(gradients), UnaryOp::sqrt);
  ops::clip(gradients, norm, max_norm);
  return norm;
}

Tensor clip_gradient_norm(std::vector<Variable> parameters, float max_norm) {
  ParameterList list(std::move(parameters));
  return clip_gradient_norm(list, max_norm);
}

}  // namespace versor
