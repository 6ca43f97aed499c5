// The kernels of winograd_kernels.inc with vectors of 8 floats, which GCC and Clang map to what the
// processor has: one register of AVX2, two of NEON. With AVX2 the two operations that the compiler
// does not find by itself are named.
#ifdef __FMA__
#include <immintrin.h>
#endif

#include <cmath>

#include "tensor/cpu/winograd_kernels.h"
#include "tensor/cpu/winograd_matrices.h"

namespace versor::cpu::winograd {
namespace {

#define VERSOR_TARGET
using Vector = float __attribute__((vector_size(32)));
constexpr int kLanes = 8;
constexpr int kBlock = 6;  // 12 of AVX2's 16 registers hold sums
constexpr int kAhead = 2;  // rows of b that are fetched in advance

inline Vector load(const float* from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline void store(float* to, Vector v) {
  __builtin_memcpy(to, &v, sizeof v);
}
#ifdef __FMA__
inline Vector broadcast(float x) {
  return _mm256_set1_ps(x);
}
inline Vector multiply_add(Vector x, Vector y, Vector sum) {
  return _mm256_fmadd_ps(x, y, sum);
}
#else
inline Vector broadcast(float x) {
  return Vector{x, x, x, x, x, x, x, x};
}
inline Vector multiply_add(Vector x, Vector y, Vector sum) {
#if defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
  for (int i = 0; i < kLanes; ++i) sum[i] = std::fma(x[i], y[i], sum[i]);
  return sum;
#else
  return x * y + sum;
#endif
}
#endif

#include "tensor/cpu/winograd_kernels.inc"

}  // namespace

const Kernels& portable_kernels() {
  static constexpr Kernels table = kernels();
  return table;
}

}  // namespace versor::cpu::winograd
