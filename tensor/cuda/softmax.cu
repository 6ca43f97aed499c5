// Softmax and argmax on a GPU: one block per row. For short rows it is a single warp, since more
// would mostly be idle.
#include <cmath>
#include <limits>

#include "tensor/cuda/launch.h"

namespace versor {
namespace {

using cuda::kThreads;

constexpr int kWarps = kThreads / cuda::kWarp;  // of a block

constexpr int64_t kShortRow = 1024;  // columns; 32 for each lane

unsigned threads_for(int64_t columns) {
  return columns <= kShortRow ? cuda::kWarp : kThreads;
}

// An element of a row. The default loses against all of them.
struct Candidate {
  float value = std::numeric_limits<float>::quiet_NaN();
  int32_t index = std::numeric_limits<int32_t>::max();
};

// The larger of two, or of equals the one with the lower index; a NaN is less than all numbers.
__device__ inline Candidate better(Candidate a, Candidate b) {
  const bool a_is_number = a.value == a.value, b_is_number = b.value == b.value;
  if (a_is_number != b_is_number) return a_is_number ? a : b;
  if (a.value > b.value) return a;
  if (b.value > a.value) return b;
  return a.index < b.index ? a : b;
}

__device__ inline Candidate best_of_warp(Candidate a) {
  for (int offset = cuda::kWarp / 2; offset > 0; offset /= 2)
    a = better(a, {__shfl_xor_sync(cuda::kAllLanes, a.value, offset),
                   __shfl_xor_sync(cuda::kAllLanes, a.index, offset)});
  return a;
}

// The best of row[0..columns-1], the same in every thread. All threads of the block must call it,
// and only once.
__device__ inline Candidate best_of_row(const float* row, int64_t columns) {
  __shared__ float value[kWarps];
  __shared__ int32_t index[kWarps];
  const int lane = threadIdx.x % cuda::kWarp, warp = threadIdx.x / cuda::kWarp;
  Candidate best;
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    best = better(best, {row[k], static_cast<int32_t>(k)});
  best = best_of_warp(best);
  if (lane == 0) value[warp] = best.value, index[warp] = best.index;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x) / cuda::kWarp; ++w)
    best = better(best, {value[w], index[w]});
  return best;
}

// The sum over a row of exp(x - m), m its largest, the same in every thread; all must call it.
__device__ inline double exponential_sum(const float* row, float m, int64_t columns) {
  double sum = 0;
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    sum += static_cast<double>(std::exp(row[k] - m));
  return cuda::block_sum(sum);
}

// exp(x - m) is computed twice, which is cheaper than writing and reading it. y may be x: each
// thread writes only what no other thread still reads.
__global__ void softmax_kernel(float* y, const float* x, int64_t all, int64_t causal) {
  const int64_t columns = causal > 0 ? blockIdx.x % causal + 1 + all - causal : all;
  const float* row = x + blockIdx.x * all;
  const float m = best_of_row(row, columns).value;
  const auto divisor = static_cast<float>(exponential_sum(row, m, columns));
  for (int64_t k = threadIdx.x; k < all; k += blockDim.x)
    y[blockIdx.x * all + k] = k < columns ? std::exp(row[k] - m) / divisor : 0.f;
}

// dx may be dy, as in softmax_kernel.
__global__ void softmax_grad_kernel(float* dx, const float* dy, const float* y, int64_t columns) {
  const float* g = dy + blockIdx.x * columns;
  const float* p = y + blockIdx.x * columns;
  double sum = 0;
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    sum += static_cast<double>(g[k]) * p[k];
  const auto mean = static_cast<float>(cuda::block_sum(sum));
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    dx[blockIdx.x * columns + k] = p[k] * (g[k] - mean);
}

// A label that does not exist makes its row NaN, in both.
__global__ void cross_entropy_kernel(float* loss, const float* x, const int32_t* label,
                                     int64_t columns) {
  const float* row = x + blockIdx.x * columns;
  const float m = best_of_row(row, columns).value;
  const double sum = exponential_sum(row, m, columns);
  if (threadIdx.x > 0) return;
  const int32_t chosen = label[blockIdx.x];
  loss[blockIdx.x] = 0 <= chosen && chosen < columns
                         ? static_cast<float>(std::log(sum) + (double{m} - row[chosen]))
                         : std::numeric_limits<float>::quiet_NaN();
}

__global__ void cross_entropy_grad_kernel(float* dx, const float* dloss, const float* x,
                                          const int32_t* label, int64_t columns) {
  const float* row = x + blockIdx.x * columns;
  const float m = best_of_row(row, columns).value;
  const auto factor = static_cast<float>(1 / exponential_sum(row, m, columns));
  const int32_t chosen = label[blockIdx.x];
  const bool exists = 0 <= chosen && chosen < columns;
  const float d = exists ? dloss[blockIdx.x] : std::numeric_limits<float>::quiet_NaN();
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    dx[blockIdx.x * columns + k] = d * (std::exp(row[k] - m) * factor) - (k == chosen ? d : 0.f);
}

__global__ void argmax_kernel(int32_t* index, const float* x, int64_t columns) {
  const Candidate best = best_of_row(x + blockIdx.x * columns, columns);
  if (threadIdx.x == 0) index[blockIdx.x] = best.index;
}

}  // namespace

void CudaBackend::softmax(Tensor& y, const Tensor& x, int64_t causal) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("softmax", stream(), cuda::blocks_for(rows, 1), threads_for(columns), softmax_kernel,
               y.data<float>(), x.data<float>(), columns, causal);
}

void CudaBackend::softmax_grad(Tensor& dx, const Tensor& dy, const Tensor& y) {
  const int64_t rows = y.dim(0), columns = y.dim(1);
  cuda::launch("softmax_grad", stream(), cuda::blocks_for(rows, 1), threads_for(columns),
               softmax_grad_kernel, dx.data<float>(), dy.data<float>(), y.data<float>(), columns);
}

void CudaBackend::cross_entropy(Tensor& loss, const Tensor& x, const Tensor& label) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("cross_entropy", stream(), cuda::blocks_for(rows, 1), threads_for(columns),
               cross_entropy_kernel, loss.data<float>(), x.data<float>(), label.data<int32_t>(),
               columns);
}

void CudaBackend::cross_entropy_grad(Tensor& dx, const Tensor& dloss, const Tensor& x,
                                     const Tensor& label) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("cross_entropy_grad", stream(), cuda::blocks_for(rows, 1), threads_for(columns),
               cross_entropy_grad_kernel, dx.data<float>(), dloss.data<float>(), x.data<float>(),
               label.data<int32_t>(), columns);
}

void CudaBackend::argmax(Tensor& index, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("argmax", stream(), cuda::blocks_for(rows, 1), threads_for(columns), argmax_kernel,
               index.data<int32_t>(), x.data<float>(), columns);
}

}  // namespace versor
