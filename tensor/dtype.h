// Element types: f32 for everything that is computed, bf16 for storage of activations, i32 for
// indices and counts, u8 for pixels.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <ostream>

#include "tensor/dispatch.h"
#include "tensor/hostdevice.h"

namespace versor {

enum class DType : int { f32, bf16, i32, u8, count };

// The upper half of a float: 8 exponent and 7 mantissa bits.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  // Rounds to nearest, ties to even; a NaN stays a NaN.
  VERSOR_HD explicit bf16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits =
        static_cast<uint16_t>(is_nan ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  VERSOR_HD explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

// What an element type is. A new one is an enumerator and a specialisation; what cannot handle it
// does not compile (dispatch.h).
template <>
struct Element<DType::f32> {
  using Type = float;
  static constexpr const char* name = "f32";
  static constexpr bool is_float = true;
};
template <>
struct Element<DType::bf16> {
  using Type = bf16;
  static constexpr const char* name = "bf16";
  static constexpr bool is_float = true;
};
template <>
struct Element<DType::i32> {
  using Type = int32_t;
  static constexpr const char* name = "i32";
  static constexpr bool is_float = false;
};
template <>
struct Element<DType::u8> {
  using Type = uint8_t;
  static constexpr const char* name = "u8";
  static constexpr bool is_float = false;
};

// Bytes of one element.
inline size_t size_of(DType dtype) {
  return with_constant(dtype, [](auto type) { return sizeof(typename Element<type()>::Type); });
}

inline bool is_float(DType dtype) {
  return with_constant(dtype, [](auto type) { return Element<type()>::is_float; });
}

inline std::ostream& operator<<(std::ostream& out, DType dtype) {
  return out << with_constant(dtype, [](auto type) { return Element<type()>::name; });
}

// The DType of a C++ type: dtype_of<float> == DType::f32.
template <class T, int i = 0>
constexpr DType find_dtype() {
  static_assert(static_cast<DType>(i) != DType::count, "no such element type");
  if constexpr (std::is_same_v<T, typename Element<static_cast<DType>(i)>::Type>)
    return static_cast<DType>(i);
  else
    return find_dtype<T, i + 1>();
}
template <class T>
inline constexpr DType dtype_of = find_dtype<T>();

}  // namespace versor
