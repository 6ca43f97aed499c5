// The weight gradient of a convolution with AVX-512, directly on NHWC images:
//   dw[o,i,j,c] = sum over n,h,w of dy[n,h,w,o] * x[n, h*s+i-p, w*s+j-p, c].
// For one tap (i,j) this is a matrix product over the positions (n,h,w), dy^T x, in which only the
// start of x depends on the tap. A tile of it, kOutputs rows o by kInputs columns c, stays in
// registers while the loop runs over all positions. Positions whose x lies in the padding are
// skipped, which for 3x3 on 8x8 saves a sixth of the work.
//
// x and dy are first packed into panels of kInputs and kOutputs channels, so that a tile reads
// memory in order. An element of a panel is 4 bytes: one f32, or the bf16 of two images at one
// position and channel, which VDPBF16PS multiplies and adds in one instruction. Pairs of images,
// unlike pairs of neighbouring positions, are never split by the shift of a tap.
//
// Each element of dw is summed by one thread, image after image: the bits do not depend on the
// number of threads.
#include "tensor/cpu/avx512.h"

#ifdef __x86_64__

#include <algorithm>

#include "tensor/cpu/avx512_products.h"

namespace versor::cpu::avx512 {
namespace {

constexpr int64_t kInputs = 32, kOutputs = 8;  // a tile: 16 of the 32 registers
constexpr int64_t kMostInChunk = 16;  // images of 4-byte elements, so that panels stay in the cache

struct Geometry {
  int64_t N, H, W, C, O, kernel_h, kernel_w, out_h, out_w, stride, padding;
  int64_t elements, chunk;  // images of 4-byte elements: all, and how many are packed at a time

  int64_t x_panel() const { return chunk * H * W * kInputs; }  // 4-byte elements
  int64_t dy_panel() const { return chunk * out_h * out_w * kOutputs; }
};

// The outputs begin...end-1 that see input `h*stride + tap - padding` inside 0...in-1.
struct Range {
  int64_t begin, end;
  Range(int64_t tap, int64_t in, int64_t out, int64_t stride, int64_t padding)
      : begin(std::max<int64_t>(0, (padding - tap + stride - 1) / stride)),
        end(in - 1 + padding - tap < 0 ? 0 : std::min(out, (in - 1 + padding - tap) / stride + 1)) {
  }
};

// Adds `elements` packed images to one tile of dw, for one tap.   dw: its first element, rows
// `row` floats apart;  x, dy: the panels.
template <class T>
VERSOR_AVX512 void add_tile(float* dw, int64_t row, const int32_t* x, const int32_t* dy,
                            int64_t elements, const Geometry& g, int64_t i, int64_t j) {
  const Range hs(i, g.H, g.out_h, g.stride, g.padding), ws(j, g.W, g.out_w, g.stride, g.padding);
  if (ws.begin >= ws.end) return;  // this tap sees padding only
  __m512 sums[kOutputs][2];
#pragma GCC unroll 8
  for (int o = 0; o < kOutputs; ++o) {
    sums[o][0] = _mm512_loadu_ps(dw + o * row);
    sums[o][1] = _mm512_loadu_ps(dw + o * row + 16);
  }
  for (int64_t n = 0; n < elements; ++n)
    for (int64_t h = hs.begin; h < hs.end; ++h) {
      const int64_t in_h = h * g.stride + i - g.padding;
      const int64_t in_w = ws.begin * g.stride + j - g.padding;
      const int32_t* px = x + ((n * g.H + in_h) * g.W + in_w) * kInputs;
      const int32_t* pdy = dy + ((n * g.out_h + h) * g.out_w + ws.begin) * kOutputs;
      for (int64_t w = ws.begin; w < ws.end; ++w) {
        const __m512i x0 = _mm512_loadu_si512(px), x1 = _mm512_loadu_si512(px + 16);
#pragma GCC unroll 8
        for (int o = 0; o < kOutputs; ++o) {
          const __m512i d = _mm512_set1_epi32(pdy[o]);
          sums[o][0] = multiply_add<T>(sums[o][0], x0, d);
          sums[o][1] = multiply_add<T>(sums[o][1], x1, d);
        }
        px += g.stride * kInputs;
        pdy += kOutputs;
      }
    }
#pragma GCC unroll 8
  for (int o = 0; o < kOutputs; ++o) {
    _mm512_storeu_ps(dw + o * row, sums[o][0]);
    _mm512_storeu_ps(dw + o * row + 16, sums[o][1]);
  }
}

// 16 channels as 4-byte elements: f32, or pairs of bf16; without `second` their second half is 0.
VERSOR_AVX512 inline __m512i load_16(const float* first, const float*) {
  return _mm512_loadu_si512(first);
}
VERSOR_AVX512 inline __m512i widened(const bf16* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
VERSOR_AVX512 inline __m512i load_16(const bf16* first, const bf16* second) {
  if (second == nullptr) return widened(first);
  return _mm512_or_si512(widened(first), _mm512_slli_epi32(widened(second), 16));
}

// Writes one image, or a pair (second may be null), into panels `panel` elements apart:
// panels[c / width][position][c % width].   first, second [positions,channels].
template <class T, int64_t width>
VERSOR_AVX512 void pack(int32_t* panels, int64_t panel, const T* first, const T* second,
                        int64_t positions, int64_t channels) {
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t c = 0; c < channels; c += 16) {
      const int64_t at = p * channels + c;
      const __m512i values = load_16(first + at, second ? second + at : nullptr);
      int32_t* out = panels + c / width * panel + p * width + c % width;
      if constexpr (width >= 16) {
        _mm512_storeu_si512(out, values);
      } else {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(values));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + panel),
                            _mm512_extracti64x4_epi64(values, 1));
      }
    }
}

// All images, a chunk at a time: packing, then the tiles, shared out over the threads.
template <class T>
void add_all(Tensor& dweight, const T* x, const T* dy, const Geometry& g) {
  static_assert(kInputs == 32 && kOutputs == 8);
  constexpr int64_t per = kPerLane<T>;  // images in one element
  const int64_t x_size = g.H * g.W * g.C, dy_size = g.out_h * g.out_w * g.O;
  const int64_t tiles = g.O / kOutputs, row = g.kernel_h * g.kernel_w * g.C;
  Tensor x_storage({g.chunk * x_size}, DType::i32), dy_storage({g.chunk * dy_size}, DType::i32);
  auto *packed_x = x_storage.data<int32_t>(), *packed_dy = dy_storage.data<int32_t>();
  float* dw = dweight.data<float>();
#pragma omp parallel
  for (int64_t begin = 0; begin < g.elements; begin += g.chunk) {
    const int64_t here = std::min(g.chunk, g.elements - begin);
#pragma omp for schedule(static)
    for (int64_t e = 0; e < here; ++e) {
      const int64_t n = (begin + e) * per;
      const bool pair = per == 2 && n + 1 < g.N;
      const T *image = x + n * x_size, *gradient = dy + n * dy_size;
      pack<T, kInputs>(packed_x + e * g.H * g.W * kInputs, g.x_panel(), image,
                       pair ? image + x_size : nullptr, g.H * g.W, g.C);
      pack<T, kOutputs>(packed_dy + e * g.out_h * g.out_w * kOutputs, g.dy_panel(), gradient,
                        pair ? gradient + dy_size : nullptr, g.out_h * g.out_w, g.O);
    }
#pragma omp for schedule(static)
    for (int64_t tile = 0; tile < g.C / kInputs * tiles; ++tile) {
      const int64_t c = tile / tiles, o = tile % tiles;
      float* first = dw + o * kOutputs * row + c * kInputs;
      for (int64_t i = 0; i < g.kernel_h; ++i)
        for (int64_t j = 0; j < g.kernel_w; ++j)
          add_tile<T>(first + (i * g.kernel_w + j) * g.C, row, packed_x + c * g.x_panel(),
                      packed_dy + o * g.dy_panel(), here, g, i, j);
    }
  }
}

}  // namespace

bool can_conv2d_grad_weight(const Tensor& dweight, const Tensor& x) {
  return has_products_of(x.dtype()) && dweight.dim(0) % 16 == 0 && x.dim(3) % kInputs == 0;
}

void conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                        const Conv2dParams& params) {
  const int64_t per = x.dtype() == DType::bf16 ? 2 : 1, elements = (x.dim(0) + per - 1) / per;
  const Geometry g{x.dim(0),
                   x.dim(1),
                   x.dim(2),
                   x.dim(3),
                   dy.dim(3),
                   dweight.dim(1),
                   dweight.dim(2),
                   dy.dim(1),
                   dy.dim(2),
                   params.stride,
                   params.padding,
                   elements,
                   std::min(kMostInChunk, elements)};
  dweight.backend().fill(dweight, 0.f);
  if (x.dtype() == DType::bf16) return add_all(dweight, x.data<bf16>(), dy.data<bf16>(), g);
  add_all(dweight, x.data<float>(), dy.data<float>(), g);
}

}  // namespace versor::cpu::avx512

#else

namespace versor::cpu::avx512 {

bool can_conv2d_grad_weight(const Tensor&, const Tensor&) {
  return false;
}
void conv2d_grad_weight(Tensor&, const Tensor&, const Tensor&, const Conv2dParams&) {
  fail("conv2d_grad_weight", "this processor has no AVX-512");
}

}  // namespace versor::cpu::avx512

#endif
