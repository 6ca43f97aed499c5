// What a convolution plan is made for; needs no header of CUDA.
#pragma once

#include <compare>
#include <cstdint>

#include "tensor/dtype.h"

namespace versor::cuda {

// Which of the three tensors of a convolution is computed from the other two.
enum class ConvKind { forward, grad_input, grad_weight };

// What a plan is made for: x [N,H,W,I], weight [O,kh,kw,I], y [N,H',W',O].
struct ConvKey {
  ConvKind kind;
  int64_t N, H, W, I, O, kh, kw, stride, padding;
  // Of x, weight and y. The sums are f32 always, and so are a bias and the gradient of the weights.
  DType dtype = DType::f32;
  bool bias = false, relu = false;  // what follows; not with grad_weight
  bool tf32 = false;                // f32 products may be rounded to TF32
  bool deterministic = true;
  bool aligned = true;      // all addresses are multiples of kFullAlignment
  bool may_compile = true;  // kernels that cuDNN compiles at run time, which takes about a second
  auto operator<=>(const ConvKey&) const = default;

  int64_t out_h() const { return (H + 2 * padding - kh) / stride + 1; }
  int64_t out_w() const { return (W + 2 * padding - kw) / stride + 1; }
};

}  // namespace versor::cuda
