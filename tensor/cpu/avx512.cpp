// What the processor can do: see avx512.h.
#include "tensor/cpu/avx512.h"

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
    return f32 && !has_amx() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
  }();
  return type == DType::bf16 ? bf16 : f32;
}

bool has_amx() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;  // what CPUID's leaf 7 says
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
  }();
  return has;
}

#else

bool has_products_of(DType) {
  return false;
}

bool has_amx() {
  return false;
}

#endif

}  // namespace versor::cpu::avx512
