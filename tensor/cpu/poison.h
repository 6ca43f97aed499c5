// What the CPU's memory pool does with blocks so that mistakes show. A pool keeps freed blocks,
// which hides two kinds of mistake from AddressSanitizer: use of a block after it was freed, and
// access beyond the bytes that were asked for. In a build with the sanitizer both are poisoned. And
// memory that was just handed out can be filled with 0xff, NaN in f32 and in bf16, to show that no
// result depends on its earlier content: in builds with DEBUG=1 or SANITIZE=..., elsewhere with
// VERSOR_POISON=1 in the environment (VERSOR_POISON=0 switches it off).
#pragma once

#include "tensor/pool.h"

namespace versor::cpu {

MemoryPool::Hooks poison_hooks();

}  // namespace versor::cpu
