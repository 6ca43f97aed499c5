// Filling, converting and moving data on the CPU.
#include <array>
#include <cstring>

#include "tensor/convert.h"
#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {
namespace {

// `columns` columns of x from x_begin on become those of y from y_begin on.
void copy_columns(Tensor& y, int64_t y_begin, const Tensor& x, int64_t x_begin, int64_t columns) {
  const auto element = static_cast<int64_t>(size_of(x.dtype()));
  char* out = static_cast<char*>(y.address()) + y_begin * element;
  const char* in = static_cast<const char*>(x.address()) + x_begin * element;
  const int64_t out_stride = y.dim(1) * element, in_stride = x.dim(1) * element;
  cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
    std::memcpy(out + r * out_stride, in + r * in_stride, static_cast<size_t>(columns * element));
  });
}

}  // namespace

void CpuBackend::fill(Tensor& y, float value) {
  with_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    T* out = y.data<T>();
    const T v = converted<T>(value);
    cpu::parallel_blocks(y.numel(),
                         [=](int64_t begin, int64_t end) { std::fill(out + begin, out + end, v); });
  });
}

void CpuBackend::copy(Tensor& y, const Tensor& x) {
  if (y.address() == x.address()) return;
  char* out = static_cast<char*>(y.address());
  const char* in = static_cast<const char*>(x.address());
  cpu::parallel_blocks(
      static_cast<int64_t>(y.bytes()),
      [=](int64_t begin, int64_t end) {
        std::memcpy(out + begin, in + begin, static_cast<size_t>(end - begin));
      },
      4 * cpu::kBlock);
}

void CpuBackend::affine(Tensor& y, const Tensor& x, float scale, float shift) {
  with_type(x.dtype(), [&](auto from) {
    with_type(y.dtype(), [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      const From* in = x.data<From>();
      To* out = y.data<To>();
      cpu::parallel_blocks(y.numel(), [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          out[i] = converted<To>(static_cast<float>(in[i]) * scale + shift);
      });
    });
  });
}

void CpuBackend::uniform(Tensor& y, Rng rng, float low, float high) {
  float* out = y.data<float>();
  cpu::parallel_blocks(y.numel(), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      out[i] = low + (high - low) * rng.uniform(static_cast<uint64_t>(i));
  });
}

void CpuBackend::normal(Tensor& y, Rng rng) {
  float* out = y.data<float>();
  cpu::parallel_blocks(y.numel(), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = rng.normal(static_cast<uint64_t>(i));
  });
}

// Visits y in order; the position in x moves by x's stride along the axis that y's axis comes from.
void CpuBackend::permute(Tensor& y, const Tensor& x, std::span<const int> axes) {
  const int rank = x.shape().rank();
  std::array<int64_t, 4> extent{1, 1, 1, 1}, stride{0, 0, 0, 0};
  for (int a = 0; a < rank; ++a) {
    const int slot = 4 - rank + a;  // leading axes of extent 1 make every case rank 4
    extent[slot] = y.dim(a);
    stride[slot] = 1;
    for (int later = axes[a] + 1; later < rank; ++later) stride[slot] *= x.dim(later);
  }
  with_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const int64_t height = extent[2], width = extent[3], down = stride[2], across = stride[3];
    cpu::parallel_rows(extent[0] * extent[1], height * width, [=](int64_t p) {
      const T* from = in + p / extent[1] * stride[0] + p % extent[1] * stride[1];
      T* to = out + p * height * width;
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) to[i * width + j] = from[i * down + j * across];
    });
  });
}

void CpuBackend::slice(Tensor& y, const Tensor& x, int64_t begin) {
  copy_columns(y, 0, x, begin, y.dim(1));
}

void CpuBackend::concat(Tensor& y, std::span<const Tensor> parts) {
  int64_t column = 0;
  for (const Tensor& part : parts) {
    copy_columns(y, column, part, 0, part.dim(1));
    column += part.dim(1);
  }
}

}  // namespace versor
