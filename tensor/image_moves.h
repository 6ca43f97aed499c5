// Where a pixel of a mirrored and shifted image comes from; the same for all devices. See
// Backend::move_images.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/hostdevice.h"

namespace versor {

// Reflects an index outside 0..size-1 at the first or last pixel, which is not repeated. What a
// move that is too large would take from beyond the other end comes from that end.
VERSOR_HD inline int64_t border(int64_t i, int64_t size) {
  const int64_t reflected = i < 0 ? -i : i < size ? i : 2 * (size - 1) - i;
  return std::min(std::max(reflected, int64_t{0}), size - 1);
}

// move: (mirrored, down, right).
VERSOR_HD inline int64_t moved_row(const int32_t* move, int64_t h, int64_t H) {
  return border(h - move[1], H);
}
VERSOR_HD inline int64_t moved_column(const int32_t* move, int64_t w, int64_t W) {
  return border((move[0] != 0 ? W - 1 - w : w) - move[2], W);
}

}  // namespace versor
