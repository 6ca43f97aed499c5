// f32 products by tensor cores, which multiply TF32 (f32 with 10 bits of mantissa). With hi = x
// rounded to TF32 and lo = x - hi rounded to TF32, x = hi + lo up to 2^-22 of x, and
//   x w  =  hi(x) hi(w) + lo(x) hi(w) + hi(x) lo(w)   up to about 2^-21 of it.
// Each of these three products is exact in f32. Their sum over all terms of a convolution is one
// TF32 convolution whose reduction is three times as long; its operands are TF32 numbers, so it
// does not matter how the hardware rounds them. tests/tensor/test_split.cpp: for 2,304 terms and
// sums of 8 products at once the error is 5e-7, where f32 one by one has 8e-7 and plain
// TF32 2.5e-4. Tensor cores cut sums off where f32 rounds (Fasi et al., 2021), which grows with
// their length: 92,160 products added 8 at a time in a few parts would be off by 2e-5 to 7e-5 in a
// simulation. Only a card can show what cuDNN's plans do. (Henry, Tang, Heinecke: Leveraging the
// bfloat16 artificial intelligence datatype for higher-precision computations, 2019, for bf16;
// Ootomo and Yokota, 2022, for TF32.)
//   An infinity or NaN is hi, has lo = 0, and counts as 0 in the two small products: the result is
//   that of f32. A finite number that would be rounded to infinity is rounded towards 0 instead.
//   A subnormal lo may count as 0: then a product is off by at most 2^-126 times the other factor.
#pragma once

#include <bit>
#include <cstdint>

#include "tensor/cuda/backend.h"
#include "tensor/cuda/conv_key.h"
#include "tensor/hostdevice.h"

namespace versor::cuda {

// To 10 bits of mantissa, to nearest, ties to even; what is not finite stays as it is.
VERSOR_HD inline float rounded_to_tf32(float x) {
  constexpr uint32_t kDropped = 0x1fff, kHalf = 0x0fff, kExponent = 0x7f800000;
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & kExponent) == kExponent) return x;
  const uint32_t nearest = (bits + kHalf + (bits >> 13 & 1u)) & ~kDropped;
  return std::bit_cast<float>((nearest & kExponent) == kExponent ? bits & ~kDropped : nearest);
}

// `finite_hi`: hi, or 0 where that is not finite.
enum class Part { hi, lo, finite_hi };

VERSOR_HD inline float part_of(float x, Part part) {
  const float hi = rounded_to_tf32(x);
  if (part == Part::hi) return hi;
  const bool finite = hi - hi == 0.f;
  if (!finite) return 0.f;
  return part == Part::lo ? rounded_to_tf32(x - hi) : hi;
}

// The operands of the convolution with the threefold reduction: channels of x and weight for
// forward, output channels of y and weight for grad_input, images of x and y for grad_weight. The
// result (y, x or weight) is the given one.
struct SplitOperands {
  Tensor x, weight, y;
};
SplitOperands split_operands(CudaBackend& backend, ConvKind kind, const SplitOperands& of);

}  // namespace versor::cuda
