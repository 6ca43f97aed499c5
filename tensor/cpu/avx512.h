// Kernels of our own for processors with AVX-512, where they beat the library. Each is chosen by
// what the processor can do and by the shapes, never by timing, so that a machine always gives the
// same bits. VERSOR_AVX512=0 in the environment switches them off.
#pragma once

#include "tensor/backend.h"

namespace versor::cpu::avx512 {

// Whether products of this type should run on AVX-512: f32 on every processor that has it; bf16
// where it has the dot products, unless oneDNN uses AMX, which multiplies bf16 many times faster
// still.
bool has_products_of(DType type);

}  // namespace versor::cpu::avx512
