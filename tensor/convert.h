// One number from f32 to an element type, written once for every device. Floats round to nearest
// with ties to even (bf16 in dtype.h); so do integers, which also saturate: a plain cast out of
// range would be undefined. A NaN becomes the integer 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace versor {

template <class To>
VERSOR_HD inline To converted(float value) {
  if constexpr (std::is_same_v<To, uint8_t>) {
    return static_cast<uint8_t>(value > 0.f ? std::rint(value < 255.f ? value : 255.f) : 0.f);
  } else if constexpr (std::is_same_v<To, int32_t>) {
    constexpr float kEnd = 2147483648.f;  // 2^31, the first number that is too large
    if (value >= kEnd) return INT32_MAX;
    if (value >= -kEnd) return static_cast<int32_t>(std::rint(value));
    return value < -kEnd ? INT32_MIN : 0;
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace versor
