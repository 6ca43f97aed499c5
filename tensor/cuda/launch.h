// How all our kernels are launched, and what they share. A kernel file includes this and nothing
// else of CUDA, so that it also compiles as plain C++, where tests/cuda_on_cpu.h gives `threadIdx`,
// `__shared__`, `__syncthreads` and the like a meaning on the CPU (a GPU is not needed to prove a
// kernel's indices right, only to prove it fast).
#pragma once

#ifndef VERSOR_CUDA_ON_CPU
#include <cuda_runtime.h>
#endif

#include <algorithm>
#include <cstdint>

#include "tensor/cuda/backend.h"

namespace versor::cuda {

#ifndef VERSOR_CUDA_ON_CPU
// After a launch: throws if it was refused; with VERSOR_SYNC=1 waits for the kernel, so that an
// error inside it is reported with its name instead of at some later call. (context.cpp)
void check_launch(const char* name, Stream stream);
#endif

constexpr int kWarp = 32;
constexpr int kThreads = 256;  // of a block, unless there is a reason for another number

// Starts kernel<<<blocks, threads>>>(arguments...) on the stream. With 0 blocks there is no launch.
template <class... Parameters, class... Arguments>
void launch(const char* name, [[maybe_unused]] Stream stream, dim3 blocks, dim3 threads,
            void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
#ifdef VERSOR_CUDA_ON_CPU
  cuda_on_cpu::launch(name, blocks, threads,
                      [=] { kernel(static_cast<Parameters>(arguments)...); });
#else
  // clang-format off
  kernel<<<blocks, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
  // clang-format on
  check_launch(name, stream);
#endif
}

// n / size, rounded up.
inline int64_t ceil_div(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

// Blocks for n items at `per_block` each.
inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>(ceil_div(n, per_block));
}

// The same for kernels with a grid-stride loop: no more blocks than keep the GPU busy, so that each
// may do more than one piece.
inline unsigned grid_for(const CudaBackend& backend, int64_t n, int64_t per_block) {
  constexpr int64_t kBlocksPerMultiprocessor = 8;
  const int64_t most = kBlocksPerMultiprocessor * backend.multiprocessors();
  return static_cast<unsigned>(std::min(ceil_div(n, per_block), most));
}

// L neighbours that move as one, up to 16 bytes: the widest load or store of a thread, and what
// memory-bound kernels need. Their address must be a multiple of their size.
constexpr int kWidest = 16;
template <class T, int L>
struct alignas(L * sizeof(T)) Vector {
  T lane[L];
};
VERSOR_HD inline bool is_aligned(const void* address, size_t bytes = kWidest) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

#if defined(__CUDACC__) || defined(VERSOR_CUDA_ON_CPU)

// Index of this thread in the whole grid, and the number of threads in it: the "grid-stride loop"
//   for (int64_t i = global_index(); i < n; i += global_threads()) ...
// covers any n with any grid.
__device__ inline int64_t global_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t global_threads() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

constexpr unsigned kAllLanes = 0xffffffffu;

// Sum over the 32 lanes of a warp, the same value in every lane. The tree is fixed, so the bits are
// the same in every run.
__device__ inline double warp_sum(double x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// Sum over the threads of a block (a multiple of 32, at most 1024), the same value in every thread.
// All threads must call it; it may be called again right away.
__device__ inline double block_sum(double x) {
  __shared__ double partial[32];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  x = warp_sum(x);
  __syncthreads();  // the sum before this one has been read by all
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  double sum = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) sum += partial[w];
  return sum;
}

// Whether a guard (find_nonfinite in tensor/backend.h) has found something; null: no guard.
__device__ inline bool is_frozen(const int32_t* guard) {
  return guard != nullptr && guard[1] != kNothingFound;
}

#endif

}  // namespace versor::cuda
