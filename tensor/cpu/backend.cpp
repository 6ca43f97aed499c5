// Memory of the CPU device.
#include "tensor/cpu/backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "tensor/cpu/matmul.h"
#include "tensor/cpu/poison.h"

namespace versor {
namespace {

// "AMD EPYC, 2 cores", as Linux names the processor; "unknown" where it does not.
std::string processor() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string name = "unknown";
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    name = line.substr(colon + 2);
    break;
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

// The machine's memory, or the part of it that a container may use. There is never more than that,
// but Linux would promise it and kill the program when it is touched.
size_t memory_of_machine() {
  const auto pages = static_cast<size_t>(sysconf(_SC_PHYS_PAGES));
  size_t bytes = pages * static_cast<size_t>(sysconf(_SC_PAGE_SIZE)), of_container = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> of_container)
    bytes = std::min(bytes, of_container);
  return bytes;
}

// 64-byte alignment: a cache line, and one AVX-512 register. Large blocks ask for pages of 2 MiB,
// since what is spread over thousands of pages of 4 KiB costs more time to address than to read.
void* allocate(size_t bytes) {
  constexpr size_t line = 64, huge_page = size_t{2} << 20;
  const size_t alignment = bytes < huge_page ? line : huge_page;
  // The size must be a multiple of the alignment; pages that nobody touches take no memory.
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#ifdef MADV_HUGEPAGE
  if (block && alignment == huge_page) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

CpuBackend::CpuBackend()
    : pool_(
          allocate, [](void* block) { std::free(block); }, cpu::poison_hooks()) {
  pool_.set_limit(memory_of_machine());
}

DeviceInfo CpuBackend::info() {
  static const std::string name = "CPU (" + processor() + ")";
  return {.name = name, .fast_bf16 = cpu::has_bf16_products()};
}

void CpuBackend::copy_from_host(void* target, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(target, source, bytes);
}

void CpuBackend::copy_to_host(void* target, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(target, source, bytes);
}

}  // namespace versor
