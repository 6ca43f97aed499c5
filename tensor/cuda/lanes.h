// 16 bytes at a time: how the kernels that do little but move memory read and write neighbouring
// elements of either type as f32. For .cu files only.
#pragma once

#include "tensor/cuda/launch.h"

namespace versor::cuda {

template <class T>
constexpr int kLanes = kWidest / sizeof(T);  // 4 f32 or 8 bf16

template <int L>
using Floats = Vector<float, L>;  // what is computed with

// p[0..L-1].
template <int L, class T>
__device__ inline Floats<L> load(const T* p) {
  const Vector<T, L> vector = *reinterpret_cast<const Vector<T, L>*>(p);
  Floats<L> x;
  for (int l = 0; l < L; ++l) x.lane[l] = static_cast<float>(vector.lane[l]);
  return x;
}

// p[0..L-1] = x, each rounded to T once.
template <int L, class T>
__device__ inline void store(T* p, const Floats<L>& x) {
  Vector<T, L> vector;
  for (int l = 0; l < L; ++l) vector.lane[l] = static_cast<T>(x.lane[l]);
  *reinterpret_cast<Vector<T, L>*>(p) = vector;
}

}  // namespace versor::cuda
