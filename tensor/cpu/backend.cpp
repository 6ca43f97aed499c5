// Memory of the CPU device.
#include "tensor/cpu/backend.h"

#include <cstdlib>
#include <cstring>

namespace versor {

// 64-byte alignment: a cache line, and one AVX-512 register.
CpuBackend::CpuBackend()
    : pool_([](size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); },
            [](void* block) { std::free(block); }) {}

void CpuBackend::copy_from_host(void* target, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(target, source, bytes);
}

void CpuBackend::copy_to_host(void* target, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(target, source, bytes);
}

}  // namespace versor
