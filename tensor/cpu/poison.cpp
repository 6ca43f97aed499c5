// Poisoned memory: see poison.h.
#include "tensor/cpu/poison.h"

#include <cstring>

#include "tensor/environment.h"

#if defined(__SANITIZE_ADDRESS__)
#define VERSOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERSOR_ASAN 1
#endif
#endif
#ifdef VERSOR_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace versor::cpu {
namespace {

#ifdef VERSOR_DEBUG
constexpr bool kFillsByDefault = true;
#else
constexpr bool kFillsByDefault = false;
#endif

}  // namespace

MemoryPool::Hooks poison_hooks() {
  MemoryPool::Hooks hooks;
  const bool fill = environment_switch("VERSOR_POISON", kFillsByDefault);
#ifdef VERSOR_ASAN
  hooks.handed_out = [fill](void* block, size_t bytes, size_t size) {
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    if (fill) std::memset(block, 0xff, size);
    ASAN_POISON_MEMORY_REGION(static_cast<char*>(block) + bytes, size - bytes);
  };
  hooks.taken_back = [](void* block, size_t size) { ASAN_POISON_MEMORY_REGION(block, size); };
#else
  if (fill)
    hooks.handed_out = [](void* block, size_t, size_t size) { std::memset(block, 0xff, size); };
#endif
  return hooks;
}

}  // namespace versor::cpu
