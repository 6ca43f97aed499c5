// What the AVX-512 kernels share: the attribute of the functions that may use it, and one step of a
// sum of products in 16 lanes of 4-byte elements: f32, or pairs of bf16 (VDPBF16PS). Only sources
// for x86-64 may include it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "tensor/dtype.h"

// Only functions with this attribute may use the wide instructions; the rest of a file runs on any
// processor. The f32 ones come from the same templates and need no bf16 instruction.
#define VERSOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// g++ 12 warns about the undefined operand inside its own intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace versor::cpu::avx512 {

// Elements of T in one lane.
template <class T>
constexpr int64_t kPerLane = sizeof(T) == 2 ? 2 : 1;

// sum + x * y, or sum + x0 * y0 + x1 * y1 of a pair.
template <class T>
VERSOR_AVX512 inline __m512 multiply_add(__m512 sum, __m512i x, __m512i y) {
  if constexpr (kPerLane<T> == 2) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y));
  } else {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y), sum);
  }
}

}  // namespace versor::cpu::avx512
