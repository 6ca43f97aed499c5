// The inner loops of winograd.cpp: products of matrices, and transforms M X M^T of tiles, over a
// panel of channels at a time. A panel is two vectors wide.
//
// winograd_kernels.inc has the code, which is compiled once for every vector width: for AVX-512
// (winograd_avx512.cpp) and for whatever the compiler makes of 8 floats (winograd_portable.cpp).
#pragma once

#include "tensor/dtype.h"

namespace versor::cpu::winograd {

// c[i][j] = (add ? c[i][j] : 0) + sum over k of a(i,k) b[k][j].   c [rows][panel],
// b [segments * depth][panel]
struct Product {
  float* c;
  const float *a, *b;
  int64_t rows;
  int64_t segments;  // k runs over pieces of a, `segment` floats apart ...
  int64_t segment;
  int64_t depth;  // ... of so many k each
  bool add;
};

// What follows a sum in the transform of outputs: y = relu?(sum + bias + residual).
template <class T>
struct Finish {
  const float* bias;         // of the first channel, or null
  const T* const* residual;  // pixels as those of the outputs, or null
  bool relu;
};

// Transforms of r taps (3 or 2) and elements T of images. Tiles are 4x4, n = r + 3. A point is an
// element of the transformed n x n tile; what belongs to different points lies `step` floats apart.
template <class T>
struct Transforms {
  // v = B^T d B:   pixels: n*n pixels d, row by row, of `channels` channels;  v: panels of channels
  // `panel` floats apart, of which the last is filled with 0.
  void (*input)(float* v, int64_t step, int64_t panel, const T* const* pixels, int64_t channels);
  // v = A d A^T of the 4x4 tile of an output gradient.
  void (*gradient)(float* v, int64_t step, int64_t panel, const T* const* pixels, int64_t channels);
  // A^T s A, and what follows, into 4x4 pixels;  null pixels are left out.  Up to one panel.
  void (*output)(T* const* pixels, const float* s, int64_t step, int64_t channels,
                 const Finish<T>& finish);
};

struct Kernels {
  int64_t panel;  // channels
  int64_t block;  // rows of a product that are computed together
  // a(i,k) = a[i * panel + k]: the forward pass and the input gradient.
  void (*product)(const Product&);
  // a(i,k) = a[k * panel + i]: the weight gradient.
  void (*product_transposed)(const Product&);
  Transforms<float> f32[2];  // of 2 and of 3 taps
  Transforms<bf16> b16[2];
  // u = G g G^T of one panel of filters.   taps [r*r][panel]
  void (*filter[2])(float* u, int64_t step, const float* taps);
  // G^T u G, the gradient of one panel of filters.
  void (*filter_gradient[2])(float* taps, const float* u, int64_t step);
};

const Kernels& best_kernels();  // for this processor
const Kernels& portable_kernels();
const Kernels& avx512_kernels();  // only on a processor that has it

}  // namespace versor::cpu::winograd
