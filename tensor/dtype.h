// Element types: f32 for everything that is computed, bf16 for storage of activations, i32 for
// indices and counts, u8 for pixels.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <ostream>

#include "tensor/error.h"
#include "tensor/hostdevice.h"

namespace versor {

enum class DType { f32, bf16, i32, u8 };

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

inline size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  fail("dtype", "unknown element type");
}

inline std::ostream& operator<<(std::ostream& out, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return out << "f32";
    case DType::bf16:
      return out << "bf16";
    case DType::i32:
      return out << "i32";
    case DType::u8:
      return out << "u8";
  }
  return out;
}

// The DType of a C++ type: dtype_of<float> == DType::f32.
template <class T>
inline constexpr DType dtype_of = [] { static_assert(sizeof(T) == 0, "no such element type"); }();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;

}  // namespace versor
