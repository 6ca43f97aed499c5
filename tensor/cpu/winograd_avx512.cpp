// The kernels of winograd_kernels.inc with AVX-512.
#include "tensor/cpu/winograd_kernels.h"

#ifdef __x86_64__

#include "tensor/cpu/avx512_products.h"
#include "tensor/cpu/winograd_matrices.h"

namespace versor::cpu::winograd {
namespace {

#define VERSOR_TARGET VERSOR_AVX512
using Vector = __m512;
constexpr int kLanes = 16;
constexpr int kBlock = 8;  // 16 of the 32 registers hold sums
constexpr int kAhead = 4;  // rows of b that are fetched in advance

VERSOR_AVX512 inline Vector load(const float* from) {
  return _mm512_loadu_ps(from);
}
VERSOR_AVX512 inline void store(float* to, Vector v) {
  _mm512_storeu_ps(to, v);
}
VERSOR_AVX512 inline Vector broadcast(float x) {
  return _mm512_set1_ps(x);
}
VERSOR_AVX512 inline Vector multiply_add(Vector x, Vector y, Vector sum) {
  return _mm512_fmadd_ps(x, y, sum);
}

#include "tensor/cpu/winograd_kernels.inc"

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels table = kernels();
  return table;
}

}  // namespace versor::cpu::winograd

#else

namespace versor::cpu::winograd {

const Kernels& avx512_kernels() {
  return portable_kernels();
}

}  // namespace versor::cpu::winograd

#endif
