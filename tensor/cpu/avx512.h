// Kernels of our own for processors with AVX-512, where they beat the library. Each is chosen by
// what the processor can do and by the shapes, never by timing, so that a machine always gives the
// same bits. VERSOR_AVX512=0 in the environment switches them off.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu::avx512 {

// Whether products of this type should run on AVX-512: f32 on every processor that has it; bf16
// where it has the dot products but not AMX, whose products of bf16 are many times faster still.
bool has_products_of(DType type);

// The weight gradient of a convolution (formula and shapes: backend.h). avx512_conv.cpp has the
// method; can_... says whether this processor and these shapes are what it is made for.
bool can_conv2d_grad_weight(const Tensor& dweight, const Tensor& x);
void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params);

}  // namespace versor::cpu::avx512
