// What the processor can do: see avx512.h.
#include "tensor/cpu/avx512.h"

#include "tensor/cpu/matmul.h"
#include "tensor/environment.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace versor::cpu::avx512 {

#ifdef __x86_64__

bool has_products_of(DType type) {
  static const bool f32 = [] {
    return environment_switch("VERSOR_AVX512", true) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  }();
  static const bool bf16 = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return f32 && library_isa() != Isa::amx && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
           (a >> 5 & 1);
  }();
  return type == DType::bf16 ? bf16 : f32;
}

#else

bool has_products_of(DType) {
  return false;
}

#endif

}  // namespace versor::cpu::avx512
