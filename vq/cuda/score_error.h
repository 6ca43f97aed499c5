// How far the scores of nearest.cu can be off. The score of a code y for a row x is
//   s = |y|^2 - 2 x.y   (both measured from the mean of the codes)
// with x.y from matmul(). The product is fed X and Y, which are x and y rounded to what its
// multipliers read: f32, or with TF32 10 bits of mantissa. So the hardware rounds no input, and
// what we rounded off is known: |x - X| and |y - Y| are computed, not estimated. From
//   x.y - X.Y = (x - X).y + X.(y - Y)
// and the standard bound of a sum in any order (Higham, "Accuracy and Stability of Numerical
// Algorithms", section 3.1) follows, with gamma = n u / (1 - n u) and n = D + 16,
//   |x.y - fl(X.Y)| <= |x - X| |y| + |X| |y - Y| + gamma |X| |Y|.
//
// u = 2^-22 is generous. f32 that rounds has 2^-24. Tensor cores add k products (at least 4) to the
// sum at once and may cut off of each what lies below the last of the 24 bits of the largest
// (Fasi et al., "Numerical behavior of NVIDIA tensor cores", 2021): k + 1 times 2^-23 of |X| |Y| at
// most, D / k times, so 1.25 D 2^-23. The 16 covers what is rounded around the product: s itself,
// s + error, s - error. |y|^2 brings 2^-21 |y|^2 for the same.
//
// With norms N rounded up, so that N >= |x|, |X|, the error is linear in values of the code:
//   error = row.per_norm * N_code + row.per_rest * |y-Y| + row.own + code.own
#pragma once

#include <limits>

#include "tensor/cuda/launch.h"

namespace versor::cuda {

constexpr float kLargestNorm = 1e15f;  // up to here no f32 product can overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What depends on D alone.
struct ScoreErrors {
  double product;    // gamma
  double underflow;  // terms below f32's smallest normal number may be lost: inputs, products, sums
  double exact;      // of f64: centring, norms, and the exact comparison of the end

  explicit ScoreErrors(int64_t D) {
    const double n = static_cast<double>(D + 16), nu = n * 0x1p-22;
    product = nu < 0.5 ? nu / (1 - nu) : kInfinity;
    underflow = 4 * n * 0x1p-126;
    exact = n * 0x1p-52;
  }
};

// Of a code y: what s and its error are made of.
struct alignas(16) CodeTerms {
  float squared;  // |y|^2; infinite for a repeated code, which never wins
  float norm;     // N
  float rest;     // |y - Y|
  float own;      // the part of the error that no row enters; infinite if f32 cannot hold s
};

// Of a row x.
struct alignas(16) RowTerms {
  float per_norm, per_rest, own;
  float limit;  // the smallest s + error so far: no code with s - error above it can win
};

// x as a float, a little up: by more than this and the few operations that follow can round down.
__device__ inline float rounded_up(double x) {
  return static_cast<float>(x * (1 + 0x1p-20));
}

__device__ inline RowTerms row_terms(double norm, double rest, const ScoreErrors& errors) {
  // 2 x.y is off by twice the bound above; the exact sums by a share of (N_row + N_code)^2.
  return {rounded_up(2 * (rest + (errors.product + errors.exact) * norm) + errors.underflow),
          rounded_up(2 * norm),
          rounded_up(errors.underflow * (1 + norm) + errors.exact * norm * norm), kInfinity};
}

__device__ inline CodeTerms code_terms(double squared, double norm, double rest,
                                       const ScoreErrors& errors) {
  // Such a code is a candidate of every row and limits none. (Also taken for a NaN.)
  if (!(norm < kLargestNorm)) return {0, 0, 0, kInfinity};
  // |y|^2 and s, rounded to f32.
  const double rounding = 0x1p-21 * norm * norm;
  return {static_cast<float>(squared), rounded_up(norm), rounded_up(rest),
          rounded_up(rounding + errors.exact * norm * norm)};
}

__device__ inline bool is_repeated(const CodeTerms& code) {
  return code.squared == kInfinity;
}

__device__ inline float score(const CodeTerms& code, float dot) {
  return fmaf(-2.f, dot, code.squared);
}
__device__ inline float score_error(const RowTerms& row, const CodeTerms& code) {
  return fmaf(row.per_norm, code.norm, fmaf(row.per_rest, code.rest, row.own + code.own));
}

}  // namespace versor::cuda
