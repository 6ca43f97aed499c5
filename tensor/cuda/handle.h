// What code that calls the CUDA runtime needs, whichever library it calls besides: statuses that
// become an Error, and owners of handles.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

// Throws Error with expression, place and the library's own text unless the call succeeded. The
// libraries' statuses have a check_status() each.
#define CUDA_CHECK(call) ::versor::cuda::check_status(call, #call, __FILE__, __LINE__)

namespace versor::cuda {

void check_status(cudaError_t status, const char* call, const char* file, int line);

// With VERSOR_SYNC=1 in the environment: waits for the work that was just enqueued, so that an
// error inside it is reported here, with a name, instead of at some later call.
void wait_if_asked(const char* name, cudaStream_t stream);

// Owns one C handle: Handle<cudaStream_t, cudaStreamDestroy> stream; create(stream.address()).
// Statuses of `destroy` are ignored: there is nobody left to tell.
template <class T, auto destroy>
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, T{})) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Handle() {
    if (value_ != T{}) destroy(value_);
  }

  T get() const { return value_; }
  operator T() const { return value_; }
  T* address() { return &value_; }  // for the function that creates it

 private:
  T value_{};
};

}  // namespace versor::cuda
