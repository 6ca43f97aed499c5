// Gathering rows and images, sums over the rows of a segment, counts and counters on a GPU. All but
// segment_sum copy, or count with integer atomics, whose order cannot matter. segment_sum must add
// floats in a fixed order without sorting the rows: each block searches for the rows of one segment
// and lists them in order. Read next: backend.cpp.
#include <limits>

#include "tensor/cuda/launch.h"
#include "tensor/image_moves.h"

namespace versor {
namespace {

using cuda::grid_for;
using cuda::is_aligned;
using cuda::kAllLanes;
using cuda::kThreads;
using cuda::kWarp;
using cuda::Vector;

constexpr int kWarps = kThreads / kWarp;

// --- gathering ----------------------------------------------------------------------------------

// Whether an index exists; a negative one becomes a very large unsigned number.
__device__ inline bool exists(int64_t index, int64_t count) {
  return static_cast<uint64_t>(index) < static_cast<uint64_t>(count);
}

__device__ inline void set_nan(float& y) {
  y = std::numeric_limits<float>::quiet_NaN();
}
__device__ inline void set_nan(float4& y) {
  set_nan(y.x), set_nan(y.y), set_nan(y.z), set_nan(y.w);
}

// y[r,:] = x[index[r],:], a warp per row. T is a float or a float4, and columns counts those.
template <class T>
__global__ void gather_rows_kernel(T* y, const T* x, const int32_t* index, int64_t rows,
                                   int64_t columns, int64_t table_rows) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = cuda::global_threads() / kWarp;
  for (int64_t r = cuda::global_index() / kWarp; r < rows; r += warps) {
    const int64_t at = index[r];
    const T* from = x + at * columns;
    if (exists(at, table_rows))
      for (int64_t c = lane; c < columns; c += kWarp) y[r * columns + c] = from[c];
    else
      for (int64_t c = lane; c < columns; c += kWarp) set_nan(y[r * columns + c]);
  }
}

__global__ void pick_kernel(float* y, const float* x, const int32_t* index, int64_t rows,
                            int64_t columns) {
  for (int64_t r = cuda::global_index(); r < rows; r += cuda::global_threads())
    if (exists(index[r], columns))
      y[r] = x[r * columns + index[r]];
    else
      set_nan(y[r]);
}

__global__ void one_hot_kernel(float* y, const int32_t* index, int64_t count, int64_t columns) {
  for (int64_t i = cuda::global_index(); i < count; i += cuda::global_threads()) {
    const int64_t at = index[i / columns];
    if (exists(at, columns))
      y[i] = at == i % columns ? 1.f : 0.f;
    else
      set_nan(y[i]);
  }
}

// The images of a batch: where in the order it starts, and how many images and places there are.
struct Batch {
  const int32_t* number;  // null means batch 0
  int64_t size, images, places;

  __device__ int64_t first() const { return number != nullptr ? number[0] * size : 0; }
};

// Image n of the batch is blockIdx.x; each thread handles L of its `size` elements at a time, where
// size is a multiple of L.
template <int L>
__global__ void gather_images_kernel(float* y, const uint8_t* images, const int32_t* order,
                                     Batch batch, int64_t size, float scale, float shift) {
  const int64_t n = blockIdx.x, place = batch.first() + n;
  const int64_t at = exists(place, batch.places) ? order[place] : -1;
  const uint8_t* image = images + at * size;
  if (!exists(at, batch.images)) set_nan(shift), image = images;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.x * L;
  int64_t i = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * L;
  for (; i < size; i += step) {
    const auto bytes = *reinterpret_cast<const Vector<uint8_t, L>*>(image + i);
    Vector<float, L> values;
    for (int l = 0; l < L; ++l) values.lane[l] = static_cast<float>(bytes.lane[l]) * scale + shift;
    *reinterpret_cast<Vector<float, L>*>(y + n * size + i) = values;
  }
}

// A thread per element.
__global__ void move_images_kernel(float* y, const float* x, const int32_t* moves, Batch batch,
                                   int64_t count, int64_t H, int64_t W, int64_t C) {
  const int64_t first = batch.first();
  for (int64_t i = cuda::global_index(); i < count; i += cuda::global_threads()) {
    const int64_t c = i % C, w = i / C % W, h = i / (C * W) % H, n = i / (C * W * H);
    const int32_t* move = moves + 3 * (first + n);
    if (!exists(first + n, batch.places))
      set_nan(y[i]);
    else
      y[i] = x[((n * H + moved_row(move, h, H)) * W + moved_column(move, w, W)) * C + c];
  }
}

// --- segment_sum --------------------------------------------------------------------------------

constexpr int kRowsPerThread = 4;                 // that a thread examines together
constexpr int kSlab = kThreads * kRowsPerThread;  // and a block
constexpr int kList = 2 * kSlab;                  // rows that are listed before they are added
constexpr int kColumnsPerLane = 4;
constexpr int kSlice = kWarp * kColumnsPerLane;  // columns of y for one block

// Appends the rows r0 .. r0+kSlab-1 that belong to the segment to list[count...], in order, and
// returns the new count, the same in all threads. Warp w examines the w-th part of the rows, in
// kRowsPerThread groups of one row per lane.
__device__ int append_rows(int64_t* list, int count, const int32_t* index, int64_t r0, int64_t rows,
                           int64_t segment) {
  __shared__ int found[kWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t begin = r0 + warp * kWarp * kRowsPerThread + lane;
  int32_t segments[kRowsPerThread];  // all loads before the first use, so that they overlap
  for (int g = 0; g < kRowsPerThread; ++g)
    segments[g] = index[std::min(begin + g * kWarp, rows - 1)];
  unsigned matches[kRowsPerThread];
  int mine = 0;
  for (int g = 0; g < kRowsPerThread; ++g) {
    const bool match = begin + g * kWarp < rows && segments[g] == segment;
    matches[g] = __ballot_sync(kAllLanes, match);
    mine += __popc(matches[g]);
  }
  if (lane == 0) found[warp] = mine;
  __syncthreads();
  int place = count;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) place += found[w];
    count += found[w];
  }
  const unsigned lanes_before = (1u << lane) - 1;
  for (int g = 0; g < kRowsPerThread; ++g) {
    if (matches[g] >> lane & 1u)
      list[place + __popc(matches[g] & lanes_before)] = begin + g * kWarp;
    place += __popc(matches[g]);
  }
  __syncthreads();  // the list is complete, `found` may be written again
  return count;
}

// y[segment, c] for the kSlice columns from blockIdx.y * kSlice on. Warp w adds the rows w, w +
// kWarps, ... of the list, with its lanes side by side along the columns; at the end the warps'
// sums are added in order.
__global__ void segment_sum_kernel(float* y, const float* x, const int32_t* index, int64_t rows,
                                   int64_t columns) {
  __shared__ int64_t list[kList];
  __shared__ double sums[kWarps][kSlice];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t segment = blockIdx.x, first = static_cast<int64_t>(blockIdx.y) * kSlice;
  // Lanes beyond the last column read that one and discard it: a load without a condition is
  // faster.
  int64_t column[kColumnsPerLane];
  for (int q = 0; q < kColumnsPerLane; ++q)
    column[q] = std::min(first + q * kWarp + lane, columns - 1);
  double sum[kColumnsPerLane] = {};
  int count = 0;
  for (int64_t r0 = 0; r0 < rows; r0 += kSlab) {
    count = append_rows(list, count, index, r0, rows, segment);
    if (count + kSlab <= kList && r0 + kSlab < rows) continue;
    for (int i = warp; i < count; i += kWarps) {
      const float* row = x + list[i] * columns;
      for (int q = 0; q < kColumnsPerLane; ++q) sum[q] += row[column[q]];
    }
    count = 0;
    __syncthreads();  // the list may be written again
  }
  for (int q = 0; q < kColumnsPerLane; ++q) sums[warp][q * kWarp + lane] = sum[q];
  __syncthreads();
  for (int c = threadIdx.x; c < kSlice && first + c < columns; c += kThreads) {
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += sums[w][c];
    y[segment * columns + first + c] = static_cast<float>(total);
  }
}

// --- counts -------------------------------------------------------------------------------------

__global__ void bincount_kernel(int32_t* counts, const int32_t* index, int64_t rows,
                                int64_t segments) {
  for (int64_t r = cuda::global_index(); r < rows; r += cuda::global_threads())
    if (exists(index[r], segments)) atomicAdd(&counts[index[r]], 1);
}

struct CounterList {
  int32_t index[kThreads];
  int count = 0;
};

__global__ void increment_kernel(int32_t* counters, CounterList list) {
  if (static_cast<int>(threadIdx.x) < list.count) counters[list.index[threadIdx.x]] += 1;
}

__global__ void add_counts_kernel(int32_t* total, const int32_t* counts, int64_t n) {
  for (int64_t i = cuda::global_index(); i < n; i += cuda::global_threads()) total[i] += counts[i];
}

// The sources of a table row's numbers: as many as one launch takes.
struct RowValues {
  const void* address[kWarp];
  bool is_integer[kWarp];
  int count = 0;
};

// table[row[0], first + j] = values[j], one thread per j.
__global__ void write_row_kernel(float* table, const int32_t* row, int64_t rows, int64_t columns,
                                 int64_t first, RowValues values) {
  const int j = threadIdx.x;
  if (j >= values.count || !exists(row[0], rows)) return;
  const void* from = values.address[j];
  table[row[0] * columns + first + j] = values.is_integer[j]
                                            ? static_cast<float>(*static_cast<const int32_t*>(from))
                                            : *static_cast<const float*>(from);
}

Batch batch_of(const Tensor& number, int64_t size, int64_t images, int64_t places) {
  return {number.defined() ? number.data<int32_t>() : nullptr, size, images, places};
}

}  // namespace

void CudaBackend::gather_rows(Tensor& y, const Tensor& x, const Tensor& index) {
  const int64_t rows = y.dim(0), columns = y.dim(1);
  const unsigned blocks = grid_for(*this, rows, kWarps);
  float* out = y.data<float>();
  const float* in = x.data<float>();
  if (columns % 4 == 0 && is_aligned(out, sizeof(float4)) && is_aligned(in, sizeof(float4))) {
    cuda::launch("gather_rows", stream(), blocks, kThreads, gather_rows_kernel<float4>,
                 reinterpret_cast<float4*>(out), reinterpret_cast<const float4*>(in),
                 index.data<int32_t>(), rows, columns / 4, x.dim(0));
  } else {
    cuda::launch("gather_rows", stream(), blocks, kThreads, gather_rows_kernel<float>, out, in,
                 index.data<int32_t>(), rows, columns, x.dim(0));
  }
}

void CudaBackend::pick(Tensor& y, const Tensor& x, const Tensor& index) {
  cuda::launch("pick", stream(), grid_for(*this, y.numel(), kThreads), kThreads, pick_kernel,
               y.data<float>(), x.data<float>(), index.data<int32_t>(), x.dim(0), x.dim(1));
}

void CudaBackend::one_hot(Tensor& y, const Tensor& index) {
  cuda::launch("one_hot", stream(), grid_for(*this, y.numel(), kThreads), kThreads, one_hot_kernel,
               y.data<float>(), index.data<int32_t>(), y.numel(), y.dim(1));
}

void CudaBackend::gather_images(Tensor& y, const Tensor& images, const Tensor& order,
                                const Tensor& batch, int64_t batch_size, float scale, float shift) {
  constexpr int L = 4;
  constexpr int64_t kMostBlocksOfAnImage = 64;
  if (y.numel() == 0) return;
  const int64_t size = y.numel() / y.dim(0);
  float* out = y.data<float>();
  const uint8_t* in = images.data<uint8_t>();
  const bool whole = size % L == 0 && is_aligned(out, L * sizeof(float)) && is_aligned(in, L);
  const int64_t parts = cuda::ceil_div(size, L * kThreads);
  const dim3 blocks(cuda::blocks_for(y.dim(0), 1),
                    static_cast<unsigned>(std::min(parts, kMostBlocksOfAnImage)));
  cuda::launch("gather_images", stream(), blocks, kThreads,
               whole ? gather_images_kernel<L> : gather_images_kernel<1>, out, in,
               order.data<int32_t>(), batch_of(batch, batch_size, images.dim(0), order.numel()),
               size, scale, shift);
}

void CudaBackend::move_images(Tensor& y, const Tensor& x, const Tensor& moves, const Tensor& batch,
                              int64_t batch_size) {
  if (y.numel() == 0) return;
  cuda::launch("move_images", stream(), grid_for(*this, y.numel(), kThreads), kThreads,
               move_images_kernel, y.data<float>(), x.data<float>(), moves.data<int32_t>(),
               batch_of(batch, batch_size, x.dim(0), moves.dim(0)), y.numel(), x.dim(1), x.dim(2),
               x.dim(3));
}

void CudaBackend::segment_sum(Tensor& y, const Tensor& x, const Tensor& index) {
  const int64_t segments = y.dim(0), columns = y.dim(1);
  const dim3 blocks(cuda::blocks_for(segments, 1), cuda::blocks_for(columns, kSlice));
  cuda::launch("segment_sum", stream(), blocks, kThreads, segment_sum_kernel, y.data<float>(),
               x.data<float>(), index.data<int32_t>(), x.dim(0), columns);
}

void CudaBackend::bincount(Tensor& counts, const Tensor& index) {
  fill(counts, 0.f);
  cuda::launch("bincount", stream(), grid_for(*this, index.numel(), kThreads), kThreads,
               bincount_kernel, counts.data<int32_t>(), index.data<int32_t>(), index.numel(),
               counts.numel());
}

void CudaBackend::increment(Tensor& counters, std::span<const int32_t> which) {
  for (size_t first = 0; first < which.size(); first += kThreads) {
    CounterList list{};
    for (int32_t i : which.subspan(first, std::min<size_t>(kThreads, which.size() - first)))
      list.index[list.count++] = i;
    cuda::launch("increment", stream(), 1, list.count, increment_kernel, counters.data<int32_t>(),
                 list);
  }
}

void CudaBackend::add_counts(Tensor& total, const Tensor& counts) {
  cuda::launch("add_counts", stream(), grid_for(*this, total.numel(), kThreads), kThreads,
               add_counts_kernel, total.data<int32_t>(), counts.data<int32_t>(), total.numel());
}

void CudaBackend::write_row(Tensor& table, const Tensor& row, std::span<const Tensor> values) {
  for (size_t first = 0; first < values.size(); first += kWarp) {
    RowValues part{};
    for (const Tensor& value :
         values.subspan(first, std::min<size_t>(kWarp, values.size() - first))) {
      part.address[part.count] = value.address();
      part.is_integer[part.count++] = value.dtype() == DType::i32;
    }
    cuda::launch("write_row", stream(), 1, kWarp, write_row_kernel, table.data<float>(),
                 row.data<int32_t>(), table.dim(0), table.dim(1), static_cast<int64_t>(first),
                 part);
  }
}

}  // namespace versor
