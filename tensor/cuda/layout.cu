// Filling, converting and moving data on a GPU. fill, copy, affine, uniform and normal are one
// kernel, write_kernel, with different sources of the values: each thread moves up to 16 bytes at a
// time where addresses allow it. permute, where the last axis changes, is a transpose of tiles
// through shared memory: memory is fast only where neighbouring threads use neighbouring addresses,
// and a transpose can do so when reading or when writing, but not both. Read next: rows.cu.
#include <cstring>

#include "tensor/convert.h"
#include "tensor/cuda/launch.h"

namespace versor {
namespace {

using cuda::kThreads;
using cuda::kWarp;

using cuda::ceil_div;
using cuda::grid_for;
using cuda::is_aligned;
using cuda::Vector;

// --- fill, copy, affine, uniform, normal --------------------------------------------------------

// The source of the values: `read` gives elements i..i+L-1, `kLanes` is the largest L.
template <class T>
struct Constant {
  static constexpr int kLanes = cuda::kWidest / sizeof(T);
  T value;

  bool allows_vectors() const { return true; }
  template <int L>
  __device__ Vector<T, L> read(int64_t) const {
    Vector<T, L> y;
    for (int l = 0; l < L; ++l) y.lane[l] = value;
    return y;
  }
};

template <class T>
struct Elements {
  static constexpr int kLanes = cuda::kWidest / sizeof(T);
  const T* x;

  bool allows_vectors() const { return is_aligned(x); }
  template <int L>
  __device__ Vector<T, L> read(int64_t i) const {
    return *reinterpret_cast<const Vector<T, L>*>(x + i);
  }
};

template <class From, class To>
struct Converted {
  static constexpr int kLanes = 4;
  const From* x;
  float scale, shift;

  bool allows_vectors() const { return is_aligned(x, kLanes * sizeof(From)); }
  template <int L>
  __device__ Vector<To, L> read(int64_t i) const {
    const Vector<From, L> from = *reinterpret_cast<const Vector<From, L>*>(x + i);
    Vector<To, L> y;
    for (int l = 0; l < L; ++l)
      y.lane[l] = converted<To>(static_cast<float>(from.lane[l]) * scale + shift);
    return y;
  }
};

struct Uniform {
  static constexpr int kLanes = 4;
  Rng rng;
  float low, high;

  bool allows_vectors() const { return true; }
  template <int L>
  __device__ Vector<float, L> read(int64_t i) const {
    Vector<float, L> y;
    for (int l = 0; l < L; ++l)
      y.lane[l] = low + (high - low) * rng.uniform(static_cast<uint64_t>(i + l));
    return y;
  }
};

struct Normal {
  static constexpr int kLanes = 4;
  Rng rng;

  bool allows_vectors() const { return true; }
  template <int L>
  __device__ Vector<float, L> read(int64_t i) const {
    Vector<float, L> y;
    for (int l = 0; l < L; ++l) y.lane[l] = rng.normal(static_cast<uint64_t>(i + l));
    return y;
  }
};

// y[i] = source(i), L at a time and the last n % L one by one.
template <int L, class T, class Source>
__global__ void write_kernel(T* y, int64_t n, Source source) {
  for (int64_t i = cuda::global_index() * L; i < n; i += cuda::global_threads() * L) {
    if (i + L <= n) {
      *reinterpret_cast<Vector<T, L>*>(y + i) = source.template read<L>(i);
    } else {
      for (int64_t j = i; j < n; ++j) y[j] = source.template read<1>(j).lane[0];
    }
  }
}

template <class T, class Source>
void write(const char* name, CudaBackend& backend, T* y, int64_t n, const Source& source) {
  constexpr int L = Source::kLanes;
  if (source.allows_vectors() && is_aligned(y, L * sizeof(T))) {
    cuda::launch(name, backend.stream(), grid_for(backend, n, L * kThreads), kThreads,
                 write_kernel<L, T, Source>, y, n, source);
  } else {
    cuda::launch(name, backend.stream(), grid_for(backend, n, kThreads), kThreads,
                 write_kernel<1, T, Source>, y, n, source);
  }
}

template <class Word>
Word* words(const Tensor& t) {
  return static_cast<Word*>(t.address());
}

// --- permute ------------------------------------------------------------------------------------

constexpr int kTile = 32;  // rows and columns of a tile

// The axes of y, outermost first, with the distance in x between neighbours along each. Axes of
// extent 1 are left out, and axes that are adjacent in x too are merged.
struct Axes {
  int rank = 0;
  int64_t extent[Shape::kMaxRank], x_stride[Shape::kMaxRank];

  Axes(const Tensor& y, const Tensor& x, std::span<const int> axes) {
    for (int a = 0; a < y.shape().rank(); ++a) {
      int64_t stride = 1;
      for (int later = axes[a] + 1; later < x.shape().rank(); ++later) stride *= x.dim(later);
      if (y.dim(a) != 1) append(y.dim(a), stride);
    }
    if (rank == 0) append(1, 1);
  }

  // The distance in y between neighbours along an axis.
  int64_t y_stride(int axis) const {
    int64_t stride = 1;
    for (int later = axis + 1; later < rank; ++later) stride *= extent[later];
    return stride;
  }

 private:
  void append(int64_t n, int64_t stride) {
    if (rank > 0 && x_stride[rank - 1] == n * stride) {
      extent[rank - 1] *= n;
      x_stride[rank - 1] = stride;
    } else {
      extent[rank] = n;
      x_stride[rank++] = stride;
    }
  }
};

// Each thread finds its elements of y in x.
template <class Word>
__global__ void permute_kernel(Word* y, const Word* x, int64_t n, Axes axes) {
  for (int64_t i = cuda::global_index(); i < n; i += cuda::global_threads()) {
    int64_t rest = i, from = 0;
    for (int a = Shape::kMaxRank - 1; a >= 0; --a) {
      if (a >= axes.rank) continue;  // a fixed trip count keeps `axes` out of slow memory
      from += rest % axes.extent[a] * axes.x_stride[a];
      rest /= axes.extent[a];
    }
    y[i] = x[from];
  }
}

// For all outer, inner:  y[outer, inner; j, i] = x[outer, inner; i, j].  Neighbours along i lie
// side by side in y, neighbours along j in x. outer and inner are the up to two other axes.
struct Transposition {
  int64_t rows, columns = 1;     // extents of i and j
  int64_t x_row, y_column = 1;   // distances in x along i, in y along j
  int64_t outer = 1, inner = 1;  // extents
  int64_t x_outer = 0, y_outer = 0, x_inner = 0, y_inner = 0;  // distances
  unsigned row_tiles, column_tiles;

  explicit Transposition(const Axes& axes) {
    const int last = axes.rank - 1;
    rows = axes.extent[last];
    x_row = axes.x_stride[last];
    for (int a = 0, others = 0; a < last; ++a) {
      if (axes.x_stride[a] == 1) {
        columns = axes.extent[a];
        y_column = axes.y_stride(a);
      } else if (others++ == 0) {
        outer = axes.extent[a];
        x_outer = axes.x_stride[a];
        y_outer = axes.y_stride(a);
      } else {
        inner = axes.extent[a];
        x_inner = axes.x_stride[a];
        y_inner = axes.y_stride(a);
      }
    }
    row_tiles = static_cast<unsigned>(ceil_div(rows, kTile));
    column_tiles = static_cast<unsigned>(ceil_div(columns, kTile));
  }
  int64_t tiles() const { return outer * inner * row_tiles * column_tiles; }
};

// A block reads 32 x 32 elements along the rows of x and writes them along the rows of y. A tile's
// rows are padded by one word, so that the elements of a column are in different banks of shared
// memory.
template <class Word>
__global__ void transpose_kernel(Word* y, const Word* x, Transposition t) {
  __shared__ Word tile[kTile][kTile + 1];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t tiles = t.outer * t.inner * t.row_tiles * t.column_tiles;
  for (int64_t number = blockIdx.x; number < tiles; number += gridDim.x) {
    const int64_t column = number % t.column_tiles * kTile, others = number / t.column_tiles;
    const int64_t row = others % t.row_tiles * kTile, batch = others / t.row_tiles;
    const int64_t outer = batch / t.inner, inner = batch % t.inner;
    const Word* from = x + outer * t.x_outer + inner * t.x_inner;
    Word* to = y + outer * t.y_outer + inner * t.y_inner;
    for (int k = warp; k < kTile; k += kThreads / kWarp)
      if (row + k < t.rows && column + lane < t.columns)
        tile[k][lane] = from[(row + k) * t.x_row + column + lane];
    __syncthreads();
    for (int k = warp; k < kTile; k += kThreads / kWarp)
      if (column + k < t.columns && row + lane < t.rows)
        to[(column + k) * t.y_column + row + lane] = tile[lane][k];
    __syncthreads();  // the next tile overwrites this one
  }
}

// --- columns of rows ----------------------------------------------------------------------------

// out[r, 0..columns-1] = in[r, 0..columns-1], rows spaced by out_stride and in_stride. A warp per
// row.
template <class T>
__global__ void copy_columns_kernel(T* out, int64_t out_stride, const T* in, int64_t in_stride,
                                    int64_t rows, int64_t columns) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = cuda::global_threads() / kWarp;
  for (int64_t r = cuda::global_index() / kWarp; r < rows; r += warps)
    for (int64_t c = lane; c < columns; c += kWarp) out[r * out_stride + c] = in[r * in_stride + c];
}

// `columns` columns of x from x_begin on become those of y from y_begin on.
void copy_columns(const char* name, CudaBackend& backend, Tensor& y, int64_t y_begin,
                  const Tensor& x, int64_t x_begin, int64_t columns) {
  if (columns == 0) return;
  with_word(x.dtype(), [&](auto word) {
    using Word = decltype(word);
    constexpr int64_t kVector = sizeof(float4) / sizeof(Word);
    Word* out = words<Word>(y) + y_begin;
    const Word* in = words<Word>(x) + x_begin;
    const unsigned blocks = grid_for(backend, x.dim(0), kThreads / kWarp);
    const bool whole = y.dim(1) % kVector == 0 && x.dim(1) % kVector == 0 &&
                       columns % kVector == 0 && is_aligned(out) && is_aligned(in);
    if (whole)
      cuda::launch(name, backend.stream(), blocks, kThreads, copy_columns_kernel<float4>,
                   reinterpret_cast<float4*>(out), y.dim(1) / kVector,
                   reinterpret_cast<const float4*>(in), x.dim(1) / kVector, x.dim(0),
                   columns / kVector);
    else
      cuda::launch(name, backend.stream(), blocks, kThreads, copy_columns_kernel<Word>, out,
                   y.dim(1), in, x.dim(1), x.dim(0), columns);
  });
}

}  // namespace

void CudaBackend::fill(Tensor& y, float value) {
  with_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    write("fill", *this, y.data<T>(), y.numel(), Constant<T>{converted<T>(value)});
  });
}

void CudaBackend::copy(Tensor& y, const Tensor& x) {
  if (y.address() == x.address()) return;
  with_word(x.dtype(), [&](auto word) {
    using Word = decltype(word);
    write("copy", *this, words<Word>(y), y.numel(), Elements<Word>{words<Word>(x)});
  });
}

void CudaBackend::affine(Tensor& y, const Tensor& x, float scale, float shift) {
  with_type(x.dtype(), [&](auto from) {
    with_type(y.dtype(), [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      write("affine", *this, y.data<To>(), y.numel(),
            Converted<From, To>{x.data<From>(), scale, shift});
    });
  });
}

void CudaBackend::uniform(Tensor& y, Rng rng, float low, float high) {
  write("uniform", *this, y.data<float>(), y.numel(), Uniform{rng, low, high});
}

void CudaBackend::normal(Tensor& y, Rng rng) {
  write("normal", *this, y.data<float>(), y.numel(), Normal{rng});
}

void CudaBackend::permute(Tensor& y, const Tensor& x, std::span<const int> axes) {
  constexpr int64_t kSmallestExtent = 8;  // below it a tile would be mostly empty
  if (y.numel() == 0) return;
  const Axes merged(y, x, axes);
  if (merged.rank == 1) return copy(y, x);
  with_word(x.dtype(), [&](auto word) {
    using Word = decltype(word);
    Word* out = words<Word>(y);
    const Word* in = words<Word>(x);
    if (merged.x_stride[merged.rank - 1] != 1) {
      const Transposition t(merged);
      if (std::min(t.rows, t.columns) >= kSmallestExtent)
        return cuda::launch("permute", stream(), grid_for(*this, t.tiles(), 1), kThreads,
                            transpose_kernel<Word>, out, in, t);
    }
    cuda::launch("permute", stream(), grid_for(*this, y.numel(), kThreads), kThreads,
                 permute_kernel<Word>, out, in, y.numel(), merged);
  });
}

void CudaBackend::slice(Tensor& y, const Tensor& x, int64_t begin) {
  copy_columns("slice", *this, y, 0, x, begin, y.dim(1));
}

void CudaBackend::concat(Tensor& y, std::span<const Tensor> parts) {
  int64_t column = 0;
  for (const Tensor& part : parts) {
    copy_columns("concat", *this, y, column, part, 0, part.dim(1));
    column += part.dim(1);
  }
}

}  // namespace versor
