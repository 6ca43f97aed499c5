// Reductions on a GPU, in two steps: many blocks each add up a part, in f64, and write their sum to
// scratch memory; a second launch adds those sums. (sum_axis1, which goes row by row, needs one.)
// How x is cut into parts depends on its shape alone, and every addition has a fixed place in the
// order, so the bits are the same in every run and on every card. README.md explains
// sum_axis0_kernel line by line. Read next: softmax.cu, layout.cu.
#include <algorithm>

#include "tensor/cuda/lanes.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"

namespace versor {
namespace {

using cuda::ceil_div;
using cuda::kThreads;

// More blocks than this would only mean more sums for the second step.
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

constexpr int kGroup = 4;            // elements that a thread reads at once, 16 bytes
constexpr int64_t kSumBlock = 2048;  // elements per block of kThreads, at least

using Group = cuda::Vector<float, kGroup>;

// An array of n floats; elements beyond its end count as 0.
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

// The terms of a sum: sums[k] += term i + k, for four neighbours i..i+3.
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

// partial[block] = sum of the terms block * per_block + 0, 1, ... per_block - 1 that are below n.
// per_block is a multiple of 4.
template <class T>
__global__ void partial_sums_kernel(double* partial, T terms, int64_t n, int64_t per_block) {
  const int64_t begin = blockIdx.x * per_block, end = std::min(begin + per_block, n);
  double s[kGroup] = {0, 0, 0, 0};  // four independent sums: no addition waits for the one before
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

// --- sum_axis0 -----------------------------------------------------------------------------------

constexpr int64_t kRowsBlock = 4096;  // elements per block, at least
constexpr int kFinalWidth = 8;        // columns per block of the second step: 64 bytes

// y[b,c] = sum of x[r,c] over the rows r of slice b, which has rows_per_slice rows.
// Block (t, b) handles slice b and the columns t * width + 0, 1, ... width - 1, with 1 <= width <=
// kThreads.   y [number of slices, C],  x [R,C].
template <class Out, class In>
__global__ void sum_axis0_kernel(Out* y, const In* x, int64_t rows, int64_t columns, int width,
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

// How a matrix is cut into slices of rows and tiles of columns, one block for each pair.
struct Cut {
  int64_t width, tiles;            // columns per tile
  int64_t rows_per_slice, slices;  // at least `per_block` elements per block
  Cut(int64_t rows, int64_t columns, int64_t per_block) {
    width = ceil_div(columns, ceil_div(columns, kThreads));
    tiles = ceil_div(columns, width);
    const int64_t most_slices = std::max<int64_t>(1, kMostBlocks / tiles);
    rows_per_slice = std::max(ceil_div(per_block, width), ceil_div(rows, most_slices));
    slices = ceil_div(rows, rows_per_slice);
  }
  dim3 blocks() const { return {static_cast<unsigned>(tiles), static_cast<unsigned>(slices)}; }
};

// The second step: y [C] from sums [slices, C].
void add_slices(const char* name, CudaBackend& backend, Tensor& y, const double* sums,
                int64_t slices) {
  const int64_t columns = y.numel();
  cuda::launch(name, backend.stream(), cuda::blocks_for(columns, kFinalWidth), kThreads,
               sum_axis0_kernel<float, double>, y.data<float>(), sums, slices, columns, kFinalWidth,
               slices);
}

template <class T>
void sum_axis0_of(CudaBackend& backend, Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  if (columns == 0) return;
  const Cut cut(rows, columns, kRowsBlock);
  cuda::Scratch<double> sums(cut.slices * columns, y.device());
  cuda::launch("sum_axis0", backend.stream(), cut.blocks(), kThreads, sum_axis0_kernel<double, T>,
               sums.data(), x.data<T>(), rows, columns, static_cast<int>(cut.width),
               cut.rows_per_slice);
  add_slices("sum_axis0", backend, y, sums.data(), cut.slices);
}

// --- bias_relu_grad ------------------------------------------------------------------------------

constexpr int64_t kGradBlock = 8192;  // elements per block, at least

// p[0..L-1], in one go where that is allowed.
template <int L, class T>
__device__ inline cuda::Floats<L> read(const T* p, bool aligned) {
  if (aligned) return cuda::load<L>(p);
  cuda::Floats<L> x;
  for (int l = 0; l < L; ++l) x.lane[l] = static_cast<float>(p[l]);
  return x;
}

// dz[r,c] = dy[r,c] + skip[r,c] where y[r,c] > 0, else 0;  sums[b,c] = sum of dz[r,c] over the rows
// r of slice b. skip and y may be null. The blocks are those of sum_axis0_kernel, but a thread has
// L neighbouring columns, one of the row's `groups`.
template <int L, class T>
__global__ void bias_relu_grad_kernel(double* sums, T* dz, const T* dy, const T* skip, const T* y,
                                      bool aligned, int64_t rows, int64_t groups, int width,
                                      int64_t rows_per_slice) {
  __shared__ double partial[L][kThreads];
  const int at_once = kThreads / width, row = threadIdx.x / width;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * width + threadIdx.x % width;
  const int64_t begin = blockIdx.y * rows_per_slice;
  const int64_t end = std::min(begin + rows_per_slice, rows);
  const bool has_work = row < at_once && group < groups;
  double sum[L] = {};
  for (int64_t r = has_work ? begin + row : end; r < end; r += at_once) {
    const int64_t at = (r * groups + group) * L;
    cuda::Floats<L> d = read<L>(dy + at, aligned);
    if (skip != nullptr) {
      const cuda::Floats<L> more = read<L>(skip + at, aligned);
      for (int l = 0; l < L; ++l) d.lane[l] += more.lane[l];
    }
    if (y != nullptr) {
      const cuda::Floats<L> saved = read<L>(y + at, aligned);
      for (int l = 0; l < L; ++l)
        d.lane[l] = Operation<UnaryOp::relu>::gradient(d.lane[l], saved.lane[l]);
    }
    for (int l = 0; l < L; ++l) {
      d.lane[l] = static_cast<float>(static_cast<T>(d.lane[l]));
      sum[l] += as_double(d.lane[l]);
      if (!aligned) dz[at + l] = static_cast<T>(d.lane[l]);
    }
    if (aligned) cuda::store(dz + at, d);
  }
  for (int l = 0; l < L; ++l) partial[l][threadIdx.x] = sum[l];
  __syncthreads();
  if (!has_work || row > 0) return;
  for (int l = 0; l < L; ++l) {
    for (int other = 1; other < at_once; ++other) sum[l] += partial[l][other * width + threadIdx.x];
    sums[(blockIdx.y * groups + group) * L + l] = sum[l];
  }
}

template <int L, class T>
void bias_relu_grad_of(CudaBackend& backend, Tensor& dz, Tensor& dbias, const Tensor& dy,
                       const Tensor& skip, const Tensor& y) {
  const auto start = [](const Tensor& t) { return t.defined() ? t.data<T>() : nullptr; };
  const auto aligned = [&](const Tensor& t) {
    return cuda::is_aligned(start(t), L * sizeof(T));  // a null pointer is
  };
  const int64_t rows = dy.dim(0), groups = dy.dim(1) / L;
  const Cut cut(rows, groups, kGradBlock / L);
  cuda::Scratch<double> sums(cut.slices * dy.dim(1), dy.device());
  cuda::launch("bias_relu_grad", backend.stream(), cut.blocks(), kThreads,
               bias_relu_grad_kernel<L, T>, sums.data(), dz.data<T>(), dy.data<T>(), start(skip),
               start(y), aligned(dz) && aligned(dy) && aligned(skip) && aligned(y), rows, groups,
               static_cast<int>(cut.width), cut.rows_per_slice);
  add_slices("bias_relu_grad", backend, dbias, sums.data(), cut.slices);
}

// --- sum_axis1 -----------------------------------------------------------------------------------

constexpr int kWarps = kThreads / cuda::kWarp;  // of a block

// y[r] = sum over c of x[r,c]. One warp per row.
__global__ void sum_axis1_kernel(float* y, const float* x, int64_t rows, int64_t columns) {
  const int lane = threadIdx.x % cuda::kWarp, warp = threadIdx.x / cuda::kWarp;
  const int64_t r = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  double sum = 0;
  if (r < rows)
    for (int64_t c = lane; c < columns; c += cuda::kWarp) sum += as_double(x[r * columns + c]);
  sum = cuda::warp_sum(sum);
  if (r < rows && lane == 0) y[r] = static_cast<float>(sum);
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

void CudaBackend::sum_axis0(Tensor& y, const Tensor& x) {
  with_float_type(x.dtype(), [&](auto element) { sum_axis0_of<decltype(element)>(*this, y, x); });
}

void CudaBackend::bias_relu_grad(Tensor& dz, Tensor& dbias, const Tensor& dy, const Tensor& skip,
                                 const Tensor& y) {
  if (dy.dim(1) == 0) return;
  with_float_type(dy.dtype(), [&](auto element) {
    using T = decltype(element);
    if (dy.dim(1) % cuda::kLanes<T> == 0)
      bias_relu_grad_of<cuda::kLanes<T>, T>(*this, dz, dbias, dy, skip, y);
    else
      bias_relu_grad_of<1, T>(*this, dz, dbias, dy, skip, y);
  });
}

void CudaBackend::sum_axis1(Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0);
  cuda::launch("sum_axis1", stream(), cuda::blocks_for(rows, kWarps), kThreads, sum_axis1_kernel,
               y.data<float>(), x.data<float>(), rows, x.dim(1));
}

}  // namespace versor
