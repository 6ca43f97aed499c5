// Kernels of our own for processors with AVX-512, where they beat the library. Each is chosen by
// what the processor can do and by the shapes, never by timing, so that a machine always gives the
// same bits. VERSOR_AVX512=0 in the environment switches them off.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu::avx512 {

// Whether products of this type should run on AVX-512: f32 on every processor that has it; bf16
// where it has the dot products but not AMX, whose products of bf16 are many times faster still.
bool has_products_of(DType type);

// Whether the processor multiplies bf16 matrices in hardware (AMX-BF16).
bool has_amx();

}  // namespace versor::cpu::avx512
