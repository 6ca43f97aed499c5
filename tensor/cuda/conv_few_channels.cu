// Convolutions over images of 1 to 4 channels on a GPU, see conv_few_channels.h. All three
// directions are one matrix product, product_kernel, as in tensor/cpu/conv.cpp: with the columns
// [P, taps] of the images, where a row holds the kh kw C pixels that one of the P = N H' W'
// positions sees,
//   y = columns weight^T,   dcolumns = dy weight,   dweight = dy^T columns.
// The columns are read straight from the images; dcolumns are written once, in f32, and a second
// kernel adds up what belongs to one pixel. The sum over positions of dweight is cut into slices,
// which sum_axis0 adds. Products are f32 whatever the type of the inputs, and every sum has a fixed
// order that depends on the shapes alone.
#include <algorithm>
#include <limits>

#include "tensor/cuda/conv_few_channels.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"
#include "tensor/environment.h"

namespace versor::cuda::few_channels {
namespace {

constexpr int kMostChannels = 4;

// A block computes kRows x kColumns of the product, a thread kTall x kWide of them, from pieces of
// kDepth terms in shared memory.
constexpr int kSide = 16;  // the threads of a block are kSide x kSide
constexpr int kTall = 8;
constexpr int kRows = kSide * kTall;
constexpr int kDepth = 16;
constexpr int64_t kMostSlices = 256;

// The table of taps is read up to the next multiple of kDepth and of the columns of a block.
constexpr int kMostTaps = 240;

// --- the columns of images -----------------------------------------------------------------------

// Far outside any image, also after a kernel's size is added.
constexpr int kOutside = std::numeric_limits<int>::min() / 2;

// Where the window of an output position begins: its pixel, and the index of that in x.
struct alignas(kWidest) Position {
  int at, h, w;
};
// An element of the window, counted from there.
struct alignas(kWidest) Tap {
  int at, i, j;
};

struct Window {
  int H, W, C, kw, taps, out_h, out_w, positions, stride, padding;

  Window(const Tensor& x, const Tensor& weight, const Tensor& y, const Conv2dParams& params)
      : H(static_cast<int>(x.dim(1))),
        W(static_cast<int>(x.dim(2))),
        C(static_cast<int>(x.dim(3))),
        kw(static_cast<int>(weight.dim(2))),
        taps(static_cast<int>(weight.numel() / weight.dim(0))),
        out_h(static_cast<int>(y.dim(1))),
        out_w(static_cast<int>(y.dim(2))),
        positions(static_cast<int>(y.numel() / y.dim(3))),
        stride(static_cast<int>(params.stride)),
        padding(static_cast<int>(params.padding)) {}

  __device__ Position position(int p) const {
    if (p >= positions) return {0, kOutside, kOutside};
    const int row = p / out_w, n = row / out_h;
    const int h = (row - n * out_h) * stride - padding, w = (p - row * out_w) * stride - padding;
    return {((n * H + h) * W + w) * C, h, w};
  }
  __device__ Tap tap(int k) const {
    if (k >= taps) return {0, kOutside, kOutside};
    const int pixel = k / C, i = pixel / kw, j = pixel - i * kw;
    return {(i * W + j) * C + (k - pixel * C), i, j};
  }
};

// What a block keeps of the columns that it reads.
struct Tables {
  Position positions[kRows];
  Tap taps[kMostTaps];
};

template <class T>
struct Columns {
  Window window;
  const T* x;

  // columns[p,k] for the position in place `p` of the table; 0 outside the image.
  __device__ float read(const Tables& tables, int p, int k) const {
    const Position position = tables.positions[p];
    const Tap tap = tables.taps[k];
    const auto h = static_cast<unsigned>(position.h + tap.i);  // what is negative becomes large
    const auto w = static_cast<unsigned>(position.w + tap.j);
    const bool inside = h < static_cast<unsigned>(window.H) && w < static_cast<unsigned>(window.W);
    return inside ? static_cast<float>(x[position.at + tap.at]) : 0.f;
  }
};

// A matrix [R,C]; 0 outside.
template <class T>
struct Matrix {
  const T* x;
  int rows, columns;

  __device__ float read(int r, int c) const {
    return r < rows && c < columns ? static_cast<float>(x[r * columns + c]) : 0.f;
  }
};

// --- the three products --------------------------------------------------------------------------
// Each says how to read its factors, a [M,K] and b [K,N], and where a result goes. m and n count
// from 0 in the whole product; p is m or k, whichever is a position, as a place in the tables. A
// factor that lies `along_k` in memory is read with neighbouring threads along k.

enum class Positions { none, rows, depth };

// y = relu?(columns weight^T + bias).
template <class T>
struct Forward {
  static constexpr Positions kPositions = Positions::rows;
  static constexpr int kWide = 4;  // 8 would need more registers than there are
  static constexpr bool a_along_k = true, b_along_k = true;
  Columns<T> columns;
  Matrix<T> weight;
  T* y;
  const float* bias;  // null: none
  bool relu;

  __device__ float a(const Tables& tables, int p, int, int k) const {
    return columns.read(tables, p, k);
  }
  __device__ float b(const Tables&, int, int k, int n) const { return weight.read(n, k); }
  __device__ void write(int, int m, int n, float sum) const {
    if (bias != nullptr) sum += bias[n];
    y[m * weight.rows + n] = static_cast<T>(relu ? rectified(sum) : sum);
  }
};

// dcolumns = dy weight.
template <class T>
struct OfColumns {
  static constexpr Positions kPositions = Positions::none;
  static constexpr int kWide = 3;
  static constexpr bool a_along_k = true, b_along_k = false;
  Window window;
  Matrix<T> dy, weight;
  float* dcolumns;

  __device__ float a(const Tables&, int, int m, int k) const { return dy.read(m, k); }
  __device__ float b(const Tables&, int, int k, int n) const { return weight.read(k, n); }
  __device__ void write(int, int m, int n, float sum) const {
    dcolumns[m * weight.columns + n] = sum;
  }
};

// dweight = dy^T columns, one sum for each slice of positions.
template <class T>
struct OfWeight {
  static constexpr Positions kPositions = Positions::depth;
  static constexpr int kWide = 3;
  static constexpr bool a_along_k = false, b_along_k = false;
  Columns<T> columns;
  Matrix<T> dy;
  float* sums;  // [slices, O, taps]

  __device__ float a(const Tables&, int, int m, int k) const { return dy.read(k, m); }
  __device__ float b(const Tables& tables, int p, int, int n) const {
    return columns.read(tables, p, n);
  }
  __device__ void write(int slice, int m, int n, float sum) const {
    sums[(slice * dy.columns + m) * columns.window.taps + n] = sum;
  }
};

// --- product_kernel ------------------------------------------------------------------------------

// Element e of a piece of kDepth x width terms, by threads that are neighbours along k or not.
struct Place {
  int k, other;
  __device__ Place(bool along_k, int e, int width)
      : k(along_k ? e % kDepth : e / width), other(along_k ? e / kDepth : e % width) {}
};

// Block (x, y, z) computes the rows x * kRows + 0, 1, ... and the columns y * kColumns + 0, 1, ...
// of the product, over slice z of its K terms, `per_slice` long, a multiple of kRows. While a piece
// is multiplied the next one is on its way to registers.
template <class P>
__global__ void __launch_bounds__(kThreads, 2)
    product_kernel(P product, int M, int N, int K, int per_slice) {
  constexpr int kWide = P::kWide, kColumns = kSide * kWide;
  constexpr int kPadded = kRows + 4;  // fewer threads of a warp write to the same bank
  alignas(kWidest) __shared__ float a[kDepth][kPadded];
  __shared__ float b[kDepth][kColumns];
  __shared__ Tables tables;
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / kSide * kTall, column = thread % kSide;
  const int m0 = static_cast<int>(blockIdx.x) * kRows, n0 = static_cast<int>(blockIdx.y) * kColumns;
  const int begin = static_cast<int>(blockIdx.z) * per_slice, end = std::min(begin + per_slice, K);

  float next_a[kTall], next_b[kWide];
  const auto load = [&](int k0) {
    const int passed = k0 - begin;
    if constexpr (P::kPositions != Positions::none) {
      const bool of_rows = P::kPositions == Positions::rows;
      if (passed == 0 && thread < kMostTaps)
        tables.taps[thread] = product.columns.window.tap(thread);
      if (passed == 0 || (!of_rows && passed % kRows == 0)) {
        if (thread < kRows)
          tables.positions[thread] = product.columns.window.position((of_rows ? m0 : k0) + thread);
        __syncthreads();
      }
    }
    for (int r = 0; r < kTall; ++r) {
      const Place place(P::a_along_k, thread + r * kThreads, kRows);
      next_a[r] = product.a(tables, place.other, m0 + place.other, k0 + place.k);
    }
    for (int r = 0; r < kWide; ++r) {
      const Place place(P::b_along_k, thread + r * kThreads, kColumns);
      next_b[r] = product.b(tables, passed % kRows + place.k, k0 + place.k, n0 + place.other);
    }
  };

  float sums[kTall][kWide] = {};
  load(begin);
  for (int k0 = begin; k0 < end; k0 += kDepth) {
    for (int r = 0; r < kTall; ++r) {
      const Place place(P::a_along_k, thread + r * kThreads, kRows);
      a[place.k][place.other] = next_a[r];
    }
    for (int r = 0; r < kWide; ++r) {
      const Place place(P::b_along_k, thread + r * kThreads, kColumns);
      b[place.k][place.other] = next_b[r];
    }
    __syncthreads();
    if (k0 + kDepth < end) load(k0 + kDepth);
    for (int k = 0; k < kDepth; ++k) {
      using Group = Vector<float, 4>;
      const Group low = *reinterpret_cast<const Group*>(&a[k][row]);
      const Group high = *reinterpret_cast<const Group*>(&a[k][row + 4]);
      for (int j = 0; j < kWide; ++j) {
        const float factor = b[k][column + kSide * j];
        for (int i = 0; i < kTall; ++i)
          sums[i][j] = fmaf(i < 4 ? low.lane[i] : high.lane[i - 4], factor, sums[i][j]);
      }
    }
    __syncthreads();  // the next piece overwrites this one
  }
  for (int i = 0; i < kTall; ++i)
    for (int j = 0; j < kWide; ++j) {
      const int m = m0 + row + i, n = n0 + column + kSide * j;
      if (m < M && n < N) product.write(static_cast<int>(blockIdx.z), m, n, sums[i][j]);
    }
}

template <class P>
void multiply(const char* name, CudaBackend& backend, const P& product, int64_t M, int64_t N,
              int64_t K, int64_t per_slice) {
  const dim3 blocks(blocks_for(M, kRows), blocks_for(N, kSide * P::kWide),
                    blocks_for(K, per_slice));
  launch(name, backend.stream(), blocks, kThreads, product_kernel<P>, product, static_cast<int>(M),
         static_cast<int>(N), static_cast<int>(K), static_cast<int>(per_slice));
}

// --- from columns to images ----------------------------------------------------------------------

// dx[n,h,w,c] = relu?(bias[c] + sum over the windows that contain it of dcolumns), by rows of the
// kernel. One thread per element.
template <class T>
__global__ void add_columns_kernel(T* dx, const float* dcolumns, const float* bias, bool relu,
                                   Window g, int64_t n) {
  const int kh = g.taps / (g.kw * g.C);
  for (int64_t index = global_index(); index < n; index += global_threads()) {
    const int at = static_cast<int>(index), pixel = at / g.C, c = at - pixel * g.C;
    const int row = pixel / g.W, image = row / g.H;
    const int h = row - image * g.H + g.padding, w = pixel - row * g.W + g.padding;
    float sum = 0;
    // Position (oh, ow) sees it at (h - oh * stride, w - ow * stride) of its window.
    for (int i = h % g.stride; i < kh; i += g.stride)
      for (int j = w % g.stride; j < g.kw; j += g.stride) {
        const int oh = (h - i) / g.stride, ow = (w - j) / g.stride;
        if (h < i || oh >= g.out_h || w < j || ow >= g.out_w) continue;
        const int p = (image * g.out_h + oh) * g.out_w + ow;
        sum += dcolumns[p * g.taps + (i * g.kw + j) * g.C + c];
      }
    if (bias != nullptr) sum += bias[c];
    dx[index] = static_cast<T>(relu ? rectified(sum) : sum);
  }
}

template <class T>
Matrix<T> matrix(const Tensor& t, int64_t columns) {
  return {t.data<T>(), static_cast<int>(t.numel() / columns), static_cast<int>(columns)};
}

const float* bias_of(const Epilogue& epilogue) {
  return epilogue.bias.defined() ? epilogue.bias.data<float>() : nullptr;
}

}  // namespace

bool takes(const Tensor& x, const Tensor& weight, const Tensor& y) {
  static const bool on = environment_switch("VERSOR_FEW_CHANNELS", true);
  if (!on || y.numel() == 0 || x.dim(3) > kMostChannels) return false;
  const int64_t taps = weight.numel() / weight.dim(0), positions = y.numel() / y.dim(3);
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;
  return taps <= kMostTaps && x.numel() <= kMost && y.numel() <= kMost &&
         positions * taps <= kMost && kMostSlices * weight.numel() <= kMost;
}

void conv2d(CudaBackend& backend, Tensor& y, const Tensor& x, const Tensor& weight,
            const Epilogue& epilogue, const Conv2dParams& params) {
  const Window window(x, weight, y, params);
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const Forward<T> product{{window, x.data<T>()},
                             matrix<T>(weight, window.taps),
                             y.data<T>(),
                             bias_of(epilogue),
                             epilogue.relu};
    multiply("conv2d", backend, product, window.positions, weight.dim(0), window.taps,
             ceil_div(window.taps, kRows) * kRows);
  });
}

void conv2d_grad_input(CudaBackend& backend, Tensor& dx, const Tensor& dy, const Tensor& weight,
                       const Epilogue& epilogue, const Conv2dParams& params) {
  const Window window(dx, weight, dy, params);
  const int64_t O = weight.dim(0);
  Scratch<float> dcolumns(int64_t{window.positions} * window.taps, dx.device());
  with_float_type(dx.dtype(), [&](auto element) {
    using T = decltype(element);
    const OfColumns<T> product{window, matrix<T>(dy, O), matrix<T>(weight, window.taps),
                               dcolumns.data()};
    multiply("conv2d_grad_input", backend, product, window.positions, window.taps, O,
             ceil_div(O, kRows) * kRows);
    launch("conv2d_grad_input", backend.stream(), grid_for(backend, dx.numel(), kThreads), kThreads,
           add_columns_kernel<T>, dx.data<T>(), dcolumns.data(), bias_of(epilogue), epilogue.relu,
           window, dx.numel());
  });
}

void conv2d_grad_weight(CudaBackend& backend, Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params) {
  const Window window(x, dweight, dy, params);
  const int64_t O = dweight.dim(0);
  const int64_t per_slice = ceil_div(ceil_div(window.positions, kMostSlices), kRows) * kRows;
  Tensor sums({ceil_div(window.positions, per_slice), dweight.numel()}, DType::f32, x.device());
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const OfWeight<T> product{{window, x.data<T>()}, matrix<T>(dy, O), sums.data<float>()};
    multiply("conv2d_grad_weight", backend, product, O, window.taps, window.positions, per_slice);
  });
  Tensor flat = dweight.reshape({dweight.numel()});
  backend.sum_axis0(flat, sums);
}

}  // namespace versor::cuda::few_channels
