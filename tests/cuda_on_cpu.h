// Lets a kernel file (.cu) compile as plain C++ and run on the CPU, so that its indices, barriers
// and arithmetic are tested on any machine (a GPU is not needed to prove a kernel right, only to
// prove it fast). How: g++ -x c++ -DVERSOR_CUDA_ON_CPU -include tests/cuda_on_cpu.h kernel.cu
// Blocks run one after another, and the threads of a block are fibers of one OS thread: each runs
// until it reaches a barrier or ends, then the next one. So a missing barrier gives a wrong result
// in one of the two orders of set_order(), in every run. __CUDACC__ stays undefined: VERSOR_HD is
// empty, as in all other files of a CPU build. Read next: cuda_on_cpu.cpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // one block at a time; not zeroed in between, so nothing may rely on it

// --- vectors and indices -------------------------------------------------------------------------

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

// Set before a thread runs or goes on; kernels only read them.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// --- running and capturing -----------------------------------------------------------------------

namespace cuda_on_cpu {

// The order in which blocks, and the threads of a block, take turns: forward, unless the
// environment has VERSOR_KERNEL_ORDER=reverse. A warp runs ahead of those after it as far as the
// barriers of the block let it. Returns the previous order.
enum class Order { forward, reverse };
Order set_order(Order order);
Order order();

// Which of the devices is "cuda:0" for the calling thread, as CUDA_VISIBLE_DEVICES says for a
// process: 0 unless it is one of several ranks.
void set_visible_device(int first);
int visible_device();

// Calls `body` once for every thread of every block, and rethrows what a thread throws. Throws
// std::runtime_error with the kernel's name where threads wait for others that never come. During a
// capture the call is only recorded.
void launch(const char* name, dim3 blocks, dim3 threads, std::function<void()> body);

// Does the work now or, during a capture, appends it to the captured work.
using Work = std::function<void()>;
void enqueue(Work work);
bool is_capturing();
void begin_capture();
std::vector<Work> end_capture();
// A branch of a capture. Its work is replayed at the join, as late as it may run, or in the reverse
// order in turns with the work beside it; a step that is not captured runs it first. So what must
// not run beside each other gives other bits in one of the three. A capture that ends without the
// join is an error, as it is for CUDA.
void begin_branch();
void end_branch();
void join_branch();

// The warp intrinsics: waits for all lanes of the mask (lanes that the block does not have are left
// out) and returns the value that each brought; valid until the caller's next intrinsic.
struct Meeting {
  const uint64_t* values;  // [32]
  unsigned lanes;          // those that are present
  unsigned lane;           // the caller's own
};
Meeting meet(const char* intrinsic, unsigned mask, uint64_t value);
[[noreturn]] void fail_absent_lane(const char* intrinsic, int lane);
// A GPU faults at a misaligned address; this CPU would not.
void check_aligned(const char* intrinsic, const void* address, size_t size);

// The value that lane `source` brought.
template <class T>
T value_of(const char* intrinsic, const Meeting& meeting, int source) {
  if ((meeting.lanes >> source & 1u) == 0) fail_absent_lane(intrinsic, source);
  T value;
  std::memcpy(&value, &meeting.values[source], sizeof(T));
  return value;
}

template <class T>
Meeting bring(const char* intrinsic, unsigned mask, T value) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return meet(intrinsic, mask, bits);
}

}  // namespace cuda_on_cpu

// --- intrinsics ----------------------------------------------------------------------------------

void __syncthreads();

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  cuda_on_cpu::meet("__syncwarp", mask, 0);
}

// A warp is cut into groups of `width` lanes (a power of two) that exchange among themselves. A
// source outside the group means the caller's own value; in __shfl_sync it wraps around.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const cuda_on_cpu::Meeting meeting = cuda_on_cpu::bring("__shfl_sync", mask, value);
  const int lane = static_cast<int>(meeting.lane);
  const int from = (lane & ~(width - 1)) | (source & (width - 1));
  return cuda_on_cpu::value_of<T>("__shfl_sync", meeting, from);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const cuda_on_cpu::Meeting meeting = cuda_on_cpu::bring("__shfl_xor_sync", mask, value);
  const int lane = static_cast<int>(meeting.lane);
  const bool inside = (lane ^ bits) < (lane & ~(width - 1)) + width;
  return cuda_on_cpu::value_of<T>("__shfl_xor_sync", meeting, inside ? lane ^ bits : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned offset, int width = 32) {
  const cuda_on_cpu::Meeting meeting = cuda_on_cpu::bring("__shfl_down_sync", mask, value);
  const int lane = static_cast<int>(meeting.lane), delta = static_cast<int>(offset);
  const bool inside = (lane & (width - 1)) + delta < width;
  return cuda_on_cpu::value_of<T>("__shfl_down_sync", meeting, inside ? lane + delta : lane);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const cuda_on_cpu::Meeting meeting = cuda_on_cpu::meet("__ballot_sync", mask, predicate != 0);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (meeting.lanes >> lane & 1u) ballot |= static_cast<unsigned>(meeting.values[lane]) << lane;
  return ballot;
}

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
// Position of the lowest set bit, counted from 1; 0 if there is none.
inline int __ffs(int x) {
  return __builtin_ffs(x);
}

// All threads share one OS thread, so any statement is atomic.
inline int atomicAdd(int* address, int value) {
  const int old = *address;
  *address = static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value));
  return old;
}
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  const unsigned old = *address;
  *address = old + value;
  return old;
}
inline int atomicMin(int* address, int value) {
  const int old = *address;
  if (value < old) *address = value;
  return old;
}
inline unsigned long long atomicMin(unsigned long long* address, unsigned long long value) {
  cuda_on_cpu::check_aligned("atomicMin", address, sizeof(*address));
  const unsigned long long old = *address;
  if (value < old) *address = value;
  return old;
}
