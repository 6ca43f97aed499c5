// From run-time values to compile-time ones, for element types and operations, on all devices. Each
// visitor compiles its function for every enumerator of the type, so that an element type or an
// operation that some device cannot handle is a compile-time error there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tensor/error.h"

namespace versor {

// A value as a type, to be passed to a function.
template <auto value>
using Constant = std::integral_constant<decltype(value), value>;

// Calls f(Constant<value>()) and returns its result. E is an enumeration that counts from 0 and
// ends with `count`.
template <class E, int i = 0, class F>
auto with_constant(E value, const F& f) -> decltype(f(Constant<E{}>())) {
  if constexpr (static_cast<E>(i) == E::count) {
    fail("dispatch", "no enumerator has the value ", static_cast<int>(value));
  } else {
    if (value == static_cast<E>(i)) return f(Constant<static_cast<E>(i)>());
    return with_constant<E, i + 1>(value, f);
  }
}

enum class DType : int;  // dtype.h
template <DType>
struct Element;

// Calls f with a value of the element type, e.g. float() for DType::f32.
template <class F>
void with_type(DType dtype, const F& f) {
  with_constant(dtype, [&]<DType type>(Constant<type>) { f(typename Element<type>::Type()); });
}

// The same for the types of floating point, f32 and bf16.
template <class F>
void with_float_type(DType dtype, const F& f) {
  with_constant(dtype, [&]<DType type>(Constant<type>) {
    if constexpr (Element<type>::is_float)
      f(typename Element<type>::Type());
    else
      fail("dispatch", dtype, " is not a floating-point type");
  });
}

// The same for functions that only move elements: an unsigned integer of the element's size.
template <class F>
void with_word(DType dtype, const F& f) {
  with_type(dtype, [&](auto element) {
    if constexpr (sizeof(element) == 1)
      f(uint8_t());
    else if constexpr (sizeof(element) == 2)
      f(uint16_t());
    else
      f(uint32_t());
  });
}

}  // namespace versor
