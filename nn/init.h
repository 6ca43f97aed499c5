// Initial values of layers, as PyTorch's defaults for convolutions and linear layers: U(-b, b) with
// b = 1/sqrt(fan_in) for weight and bias. (kaiming_uniform with a = sqrt(5) amounts to this bound.)
#pragma once

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace versor {

// The number of inputs to one output: kh*kw*I of a convolution's [O,kh,kw,I]. For a transposed
// convolution PyTorch uses kh*kw*O of its [I,kh,kw,O], also the product of axes 1..3.
int64_t fan_in(const Shape& weight);

Tensor fan_in_uniform(Shape shape, int64_t fan_in, Rng rng, Device device);

}  // namespace versor
