// Initial values of layers, as PyTorch's defaults for convolutions and linear layers: U(-b, b) with
// b = 1/sqrt(fan_in) for weight and bias. (kaiming_uniform with a = sqrt(5) amounts to this bound.)
#pragma once

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace versor {

// fan_in: how many inputs one output sees. For a convolution kh*kw*I of its [O,kh,kw,I]; for a
// transposed convolution PyTorch takes kh*kw*O of its [I,kh,kw,O], which is also axes 1..3.
int64_t fan_in(const Shape& weight);

Tensor fan_in_uniform(Shape shape, int64_t fan_in, Rng rng, Device device);

}  // namespace versor
