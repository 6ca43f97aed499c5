// Scratch memory on a GPU for one primitive, and the backend that a tensor lives on.
#pragma once

#include "tensor/cuda/backend.h"

namespace versor::cuda {

inline CudaBackend& backend_of(const Tensor& t) {
  return static_cast<CudaBackend&>(t.backend());
}

inline const int32_t* guard_of(const Tensor& guard) {
  return guard.defined() ? guard.data<int32_t>() : nullptr;
}

// n values of a plain type T from the device's pool, uninitialised. They return to the pool at the
// end of the scope although kernels may still be using them: whoever gets the memory next runs
// after them. (What is freed while a branch is open is only handed out after the join, see pool.h.)
template <class T>
class Scratch {
 public:
  Scratch(int64_t n, Device device)
      : bytes_({n * static_cast<int64_t>(sizeof(T))}, DType::u8, device) {}

  T* data() { return reinterpret_cast<T*>(bytes_.data<uint8_t>()); }

 private:
  Tensor bytes_;
};

}  // namespace versor::cuda
