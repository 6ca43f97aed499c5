// From the element type of a tensor, known at run time, to a type known at compile time: f is
// called with a null pointer of that type.
#pragma once

#include "tensor/tensor.h"

namespace versor::cpu {

template <class F>
void with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(static_cast<float*>(nullptr));
    case DType::bf16:
      return f(static_cast<bf16*>(nullptr));
    case DType::i32:
      return f(static_cast<int32_t*>(nullptr));
    case DType::u8:
      return f(static_cast<uint8_t*>(nullptr));
  }
}

// The same where only f32 and bf16 are allowed.
template <class F>
void with_float_type(const Tensor& t, const F& f) {
  if (t.dtype() == DType::bf16) return f(static_cast<bf16*>(nullptr));
  f(static_cast<float*>(nullptr));
}

}  // namespace versor::cpu
