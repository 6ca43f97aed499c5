// From run-time values to compile-time ones, for element types and operations, on all devices. Each
// visitor compiles its function for every enumerator of the type, so that an element type or an
// operation that some device cannot handle is a compile-time error there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tensor/error.h"

namespace versor {

namespace detail {
template <class E, int i, class F>
auto with_constant_from(E value, const F& f) {
  if constexpr (static_cast<E>(i + 1) != E::count)
    if (value != static_cast<E>(i)) return with_constant_from<E, i + 1>(value, f);
  return f(std::integral_constant<E, static_cast<E>(i)>());
}
}  // namespace detail

// Calls f(std::integral_constant<E, value>()) and returns its result. E is an enumeration that
// counts from 0 and ends with `count`.
template <class E, class F>
auto with_constant(E value, const F& f) {
  check(E{} <= value && value < E::count, "dispatch", "there is no enumerator number ",
        static_cast<int>(value));
  return detail::with_constant_from<E, 0>(value, f);
}

enum class DType : int;  // dtype.h
template <DType>
struct Element;

// Calls f with a value of the element type, e.g. float() for DType::f32.
template <class F>
void with_type(DType dtype, const F& f) {
  with_constant(dtype, [&](auto type) { f(typename Element<type()>::Type()); });
}

// The same for the types of floating point, f32 and bf16.
template <class F>
void with_float_type(DType dtype, const F& f) {
  with_constant(dtype, [&](auto type) {
    if constexpr (Element<type()>::is_float)
      f(typename Element<type()>::Type());
    else
      fail("dispatch", dtype, " is not a floating-point type");
  });
}

// The same for functions that only move elements: an unsigned integer of the element's size.
template <class F>
void with_word(DType dtype, const F& f) {
  with_type(dtype, [&](auto element) {
    using OneOrTwoBytes = std::conditional_t<sizeof(element) == 1, uint8_t, uint16_t>;
    f(std::conditional_t<sizeof(element) <= 2, OneOrTwoBytes, uint32_t>());
  });
}

}  // namespace versor
