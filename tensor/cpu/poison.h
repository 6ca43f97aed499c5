// What the CPU's memory pool does with blocks so that mistakes show. A pool keeps what was freed,
// which hides from AddressSanitizer a block that is used after it was given back and an access
// beyond the bytes that were asked for: built with it, both are poisoned. And memory that was just
// handed out can be filled with 0xff, NaN in f32 and in bf16, so that no result depends on what was
// there before: in builds with DEBUG=1 or SANITIZE=..., elsewhere with VERSOR_POISON=1 in the
// environment (VERSOR_POISON=0 switches it off).
#pragma once

#include "tensor/pool.h"

namespace versor::cpu {

MemoryPool::Hooks poison_hooks();

}  // namespace versor::cpu
