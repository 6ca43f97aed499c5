// The front end's checks of its inputs, shared by ops.cpp, rows.cpp, matmul.cpp, conv.cpp and vq's
// kernel dispatch. `op` is the operation's name, which errors carry in brackets.
#pragma once

#include <initializer_list>

#include "tensor/backend.h"

namespace versor::ops {

// All given tensors must be defined and on the first one's device.
inline Backend& same_device(const char* op, std::initializer_list<const Tensor*> tensors) {
  const Tensor& first = **tensors.begin();
  for (const Tensor* t : tensors) {
    check(t->defined(), op, "an input is undefined");
    check(t->device() == first.device(), op, "inputs are on ", first.device(), " and ",
          t->device());
  }
  return first.backend();
}

inline void check_dtype(const char* op, const Tensor& t, DType wanted) {
  check(t.dtype() == wanted, op, "needs ", wanted, ", got ", t.dtype(), " ", t.shape());
}

inline void check_f32(const char* op, std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* t : tensors) check_dtype(op, *t, DType::f32);
}

// All f32 or all bf16, as the first one.
inline void check_float(const char* op, std::initializer_list<const Tensor*> tensors) {
  const Tensor& first = **tensors.begin();
  check(is_float(first.dtype()), op, "needs f32 or bf16, got ", first.dtype(), " ", first.shape());
  for (const Tensor* t : tensors)
    check(t->dtype() == first.dtype(), op, "element types differ: ", first.dtype(), " ",
          first.shape(), " and ", t->dtype(), " ", t->shape());
}

// A guard of find_nonfinite; undefined means none.
inline void check_guard(const char* op, const Tensor& guard, const Tensor& beside) {
  if (!guard.defined()) return;
  same_device(op, {&beside, &guard});
  check_dtype(op, guard, DType::i32);
  check(guard.shape() == Shape{2}, op, "a guard has the shape [2], not ", guard.shape());
}

inline void check_same_shape(const char* op, const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape(), op, "shapes differ: ", a.shape(), " and ", b.shape());
}

inline void check_matrix(const char* op, const Tensor& t) {
  check(t.shape().rank() == 2, op, "needs rows [R,C], got ", t.shape());
}

inline void check_scalar(const char* op, const Tensor& t) {
  check(t.numel() == 1, op, "needs a tensor of one element, got ", t.shape());
}

// On the CPU, that an index has no value outside 0..number-1; on a GPU the host would have to wait
// for the values, and the primitive itself deals with those that do not exist (backend.h). `of`
// says what the index counts: "rows".
inline void check_indices(const char* op, const Tensor& index, int64_t number, const char* of) {
  if (index.device().type != DeviceType::cpu) return;
  const int32_t* values = index.data<int32_t>();
  for (int64_t i = 0; i < index.numel(); ++i)
    check(0 <= values[i] && values[i] < number, op, "index ", values[i], " is outside the ", number,
          " ", of);
}

// The choice of one column for each row: x [R,K], index i32 [R].
inline Backend& check_choice(const char* op, const Tensor& x, const Tensor& index) {
  Backend& backend = same_device(op, {&x, &index});
  check_f32(op, {&x});
  check_dtype(op, index, DType::i32);
  check_matrix(op, x);
  check(index.numel() == x.dim(0), op, "index ", index.shape(), " does not match the rows of ",
        x.shape());
  check_indices(op, index, x.dim(1), "columns");
  return backend;
}

inline double count(const Tensor& t) {
  return static_cast<double>(t.numel());
}

}  // namespace versor::ops
