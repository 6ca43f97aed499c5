// Reductions on a GPU, in two steps: many blocks each add up a part, in f64, and write their sum to
// scratch memory; a second launch adds those sums. (sum_columns, softmax and
// argmax, which go row by row, need one.) How x is cut into parts depends on its shape alone, and
// every addition has its fixed place in the order, so that the bits are the same in every run and
// on every card. README.md explains sum_rows_kernel line by line. Read next: layout.cu.
#include <cmath>
#include <limits>

#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"

namespace versor {
namespace {

using cuda::ceil_div;
using cuda::kThreads;

// More blocks than this would only make more sums for the second step.
constexpr int64_t kMostBlocks = 1024;

__device__ inline double as_double(double x) {
  return x;
}
__device__ inline double as_double(float x) {
  return x;
}
__device__ inline double as_double(bf16 x) {
  return static_cast<float>(x);
}

// --- sum and mse --------------------------------------------------------------------------------

constexpr int kGroup = 4;            // neighbours that a thread reads at once, 16 bytes
constexpr int64_t kSumBlock = 2048;  // elements for a block of kThreads, at least

using Group = cuda::Vector<float, kGroup>;

// An array of n floats; what lies behind its end counts as 0.
struct Array {
  const float* x;
  int64_t n;
  bool aligned;

  explicit Array(const Tensor& t) : x(t.data<float>()), n(t.numel()) {
    aligned = cuda::is_aligned(x);
  }
  // x[i..i+3]. i is a multiple of 4.
  __device__ Group group(int64_t i) const {
    if (aligned && i + kGroup <= n) return *reinterpret_cast<const Group*>(x + i);
    Group g;
    for (int k = 0; k < kGroup; ++k) g.lane[k] = i + k < n ? x[i + k] : 0.f;
    return g;
  }
};

// What is added up: sums[k] += term i + k, of four neighbours i..i+3.
struct Terms {
  Array x;
  __device__ void add(double (&sums)[kGroup], int64_t i) const {
    const Group g = x.group(i);
    for (int k = 0; k < kGroup; ++k) sums[k] += as_double(g.lane[k]);
  }
};
struct Squares {
  Array x;
  __device__ void add(double (&sums)[kGroup], int64_t i) const {
    const Group g = x.group(i);
    for (int k = 0; k < kGroup; ++k) sums[k] += as_double(g.lane[k]) * as_double(g.lane[k]);
  }
};
struct SquaredErrors {
  Array a, b;
  __device__ void add(double (&sums)[kGroup], int64_t i) const {
    const Group ga = a.group(i), gb = b.group(i);
    for (int k = 0; k < kGroup; ++k) {
      const double d = as_double(ga.lane[k]) - as_double(gb.lane[k]);
      sums[k] += d * d;
    }
  }
};

// partial[block] = sum of the terms block * per_block + 0, 1, ... per_block - 1, as far as they are
// below n. per_block is a multiple of 4.
template <class T>
__global__ void partial_sums_kernel(double* partial, T terms, int64_t n, int64_t per_block) {
  const int64_t begin = blockIdx.x * per_block, end = std::min(begin + per_block, n);
  double s[kGroup] = {0, 0, 0, 0};  // four sums side by side: no addition waits for the one before
  for (int64_t i = begin + threadIdx.x * kGroup; i < end; i += kThreads * kGroup) terms.add(s, i);
  const double sum = cuda::block_sum((s[0] + s[1]) + (s[2] + s[3]));
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// y[0] = factor * sum of partial[0..n-1] / divisor. One block.
__global__ void final_sum_kernel(float* y, const double* partial, int64_t n, double factor,
                                 double divisor) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += partial[i];
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) y[0] = static_cast<float>(sum * factor / divisor);
}

// y[0] = factor * sum of n terms / divisor.
template <class T>
void sum_of_terms(const char* name, CudaBackend& backend, Tensor& y, const T& terms, int64_t n,
                  double factor, double divisor) {
  const int64_t fair_share = ceil_div(ceil_div(n, kMostBlocks), kGroup) * kGroup;
  const int64_t per_block = std::max(kSumBlock, fair_share);
  const unsigned blocks = cuda::blocks_for(n, per_block);
  cuda::Scratch<double> partial(blocks, y.device());
  cuda::launch(name, backend.stream(), blocks, kThreads, partial_sums_kernel<T>, partial.data(),
               terms, n, per_block);
  cuda::launch(name, backend.stream(), 1, kThreads, final_sum_kernel, y.data<float>(),
               partial.data(), blocks, factor, divisor);
}

// --- sum_rows -----------------------------------------------------------------------------------

constexpr int64_t kRowsBlock = 4096;  // elements for a block, at least
constexpr int kFinalWidth = 8;        // columns of a block of the second step: 64 bytes

// y[b,c] = sum of x[r,c] over the rows r of slice b, which has rows_per_slice rows.
// Block (t, b) has the slice b and the columns t * width + 0, 1, ... width - 1, with 1 <= width <=
// kThreads.   y [number of slices, C],  x [R,C].
template <class Out, class In>
__global__ void sum_rows_kernel(Out* y, const In* x, int64_t rows, int64_t columns, int width,
                                int64_t rows_per_slice) {
  __shared__ double partial[kThreads];
  const int at_once = kThreads / width;    // rows that the block reads at once
  const int row = threadIdx.x / width;     // which of them is this thread's
  const int column = threadIdx.x % width;  // and which column
  const int64_t c = static_cast<int64_t>(blockIdx.x) * width + column;
  const int64_t begin = blockIdx.y * rows_per_slice;
  const int64_t end = std::min(begin + rows_per_slice, rows);
  const bool has_work = row < at_once && c < columns;
  double sum = 0;
  if (has_work)
    for (int64_t r = begin + row; r < end; r += at_once) sum += as_double(x[r * columns + c]);
  partial[threadIdx.x] = sum;
  __syncthreads();
  if (has_work && row == 0) {
    for (int other = 1; other < at_once; ++other) sum += partial[other * width + column];
    y[blockIdx.y * columns + c] = static_cast<Out>(sum);
  }
}

// y [C] from x [R,C] by way of sums [slices, C].
template <class T>
void sum_rows_of(CudaBackend& backend, Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  if (columns == 0) return;
  const int64_t width = ceil_div(columns, ceil_div(columns, kThreads));
  const int64_t tiles = ceil_div(columns, width);  // that the columns are cut into
  const int64_t most_slices = std::max<int64_t>(1, kMostBlocks / tiles);
  const int64_t rows_per_slice = std::max(ceil_div(kRowsBlock, width), ceil_div(rows, most_slices));
  const int64_t slices = ceil_div(rows, rows_per_slice);
  cuda::Scratch<double> sums(slices * columns, y.device());
  const dim3 blocks(static_cast<unsigned>(tiles), static_cast<unsigned>(slices));
  cuda::launch("sum_rows", backend.stream(), blocks, kThreads, sum_rows_kernel<double, T>,
               sums.data(), x.data<T>(), rows, columns, static_cast<int>(width), rows_per_slice);
  cuda::launch("sum_rows", backend.stream(), cuda::blocks_for(columns, kFinalWidth), kThreads,
               sum_rows_kernel<float, double>, y.data<float>(), sums.data(), slices, columns,
               kFinalWidth, slices);
}

// --- sum_columns --------------------------------------------------------------------------------

constexpr int kWarps = kThreads / cuda::kWarp;  // of a block

// y[r] = sum over c of x[r,c]. One warp for each row.
__global__ void sum_columns_kernel(float* y, const float* x, int64_t rows, int64_t columns) {
  const int lane = threadIdx.x % cuda::kWarp, warp = threadIdx.x / cuda::kWarp;
  const int64_t r = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  double sum = 0;
  if (r < rows)
    for (int64_t c = lane; c < columns; c += cuda::kWarp) sum += as_double(x[r * columns + c]);
  sum = cuda::warp_sum(sum);
  if (r < rows && lane == 0) y[r] = static_cast<float>(sum);
}

// --- softmax and argmax -------------------------------------------------------------------------
// One block for each row. Where rows are short it is a single warp: of more, many would be idle.

constexpr int64_t kShortRow = 1024;  // columns; 32 for each lane

unsigned threads_for(int64_t columns) {
  return columns <= kShortRow ? cuda::kWarp : kThreads;
}

// An element of a row. The default loses against all of them.
struct Candidate {
  float value = std::numeric_limits<float>::quiet_NaN();
  int32_t index = std::numeric_limits<int32_t>::max();
};

// The larger of two, of equals the one with the lower index; a NaN is less than all numbers.
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
// once.
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

// exp(x - m) is computed twice, which is cheaper than to write and read it. y may be x: each thread
// writes only what it alone still reads.
__global__ void softmax_kernel(float* y, const float* x, int64_t columns) {
  const float* row = x + blockIdx.x * columns;
  const float m = best_of_row(row, columns).value;
  double sum = 0;
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    sum += as_double(std::exp(row[k] - m));
  const auto divisor = static_cast<float>(cuda::block_sum(sum));
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    y[blockIdx.x * columns + k] = std::exp(row[k] - m) / divisor;
}

// dx may be dy, as in softmax_kernel.
__global__ void softmax_grad_kernel(float* dx, const float* dy, const float* y, int64_t columns) {
  const float* g = dy + blockIdx.x * columns;
  const float* p = y + blockIdx.x * columns;
  double sum = 0;
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x) sum += as_double(g[k]) * p[k];
  const auto mean = static_cast<float>(cuda::block_sum(sum));
  for (int64_t k = threadIdx.x; k < columns; k += blockDim.x)
    dx[blockIdx.x * columns + k] = p[k] * (g[k] - mean);
}

__global__ void argmax_kernel(int32_t* index, const float* x, int64_t columns) {
  const Candidate best = best_of_row(x + blockIdx.x * columns, columns);
  if (threadIdx.x == 0) index[blockIdx.x] = best.index;
}

}  // namespace

void CudaBackend::sum(Tensor& y, const Tensor& x, float factor) {
  sum_of_terms("sum", *this, y, Terms{Array(x)}, x.numel(), factor, 1);
}

void CudaBackend::sum_of_squares(Tensor& y, const Tensor& x) {
  sum_of_terms("sum_of_squares", *this, y, Squares{Array(x)}, x.numel(), 1, 1);
}

void CudaBackend::mse(Tensor& y, const Tensor& a, const Tensor& b) {
  const int64_t n = a.numel();
  sum_of_terms("mse", *this, y, SquaredErrors{Array(a), Array(b)}, n, 1, static_cast<double>(n));
}

void CudaBackend::sum_rows(Tensor& y, const Tensor& x) {
  if (x.dtype() == DType::bf16) return sum_rows_of<bf16>(*this, y, x);
  sum_rows_of<float>(*this, y, x);
}

// Two kernels: dz is still in the L2 cache when it is summed.
void CudaBackend::bias_relu_grad(Tensor& dz, Tensor& dbias, const Tensor& dy, const Tensor& y) {
  unary_grad(dz, dy, y, UnaryOp::relu);
  sum_rows(dbias, dz);
}

void CudaBackend::sum_columns(Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0);
  cuda::launch("sum_columns", stream(), cuda::blocks_for(rows, kWarps), kThreads,
               sum_columns_kernel, y.data<float>(), x.data<float>(), rows, x.dim(1));
}

void CudaBackend::softmax(Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("softmax", stream(), cuda::blocks_for(rows, 1), threads_for(columns), softmax_kernel,
               y.data<float>(), x.data<float>(), columns);
}

void CudaBackend::softmax_grad(Tensor& dx, const Tensor& dy, const Tensor& y) {
  const int64_t rows = y.dim(0), columns = y.dim(1);
  cuda::launch("softmax_grad", stream(), cuda::blocks_for(rows, 1), threads_for(columns),
               softmax_grad_kernel, dx.data<float>(), dy.data<float>(), y.data<float>(), columns);
}

void CudaBackend::argmax(Tensor& index, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  cuda::launch("argmax", stream(), cuda::blocks_for(rows, 1), threads_for(columns), argmax_kernel,
               index.data<int32_t>(), x.data<float>(), columns);
}

}  // namespace versor
