// Clipping gradients by their common norm (Pascanu, Mikolov and Bengio 2013).
#pragma once

#include "nn/flat_parameters.h"

namespace versor {

// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), with norm = sqrt(sum over all of
// g^2), and returns the norm from before, f32 [1] on the device, without waiting for it. As
// torch.nn.utils.clip_grad_norm_; a norm that is NaN makes all gradients NaN. Afterwards the
// gradients are views of one buffer (ParameterList::gather_gradients).
Tensor clip_gradient_norm(ParameterList& parameters, float max_norm);
Tensor clip_gradient_norm(std::vector<Variable> parameters, float max_norm);

}  // namespace versor
