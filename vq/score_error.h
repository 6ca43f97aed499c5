// A bound on the error of the scores in the nearest-code search, for every device. With
// x = e - mean and y = c - mean, the score of a code is
//   s = |y|^2 - 2 x.y
// with x.y from a matrix product. The product gets X and Y, which are x and y rounded by us to the
// type that its multipliers read (f32, TF32, bf16), so that |x - X| and |y - Y| are known. From
//   x.y - X.Y = (x - X).y + X.(y - Y)
// and the standard bound for a sum in any order (Higham, "Accuracy and Stability of Numerical
// Algorithms", section 3.1) it follows, with gamma = n u / (1 - n u) and n = D + 16, that
//   |x.y - fl(X.Y)| <= |x - X| |y| + |X| |y - Y| + gamma |X| |Y|.
// The 16 covers the roundings around the product: of x and y to f32, of s itself, of s + error and
// of s - error. For the same roundings of |y|^2 the bound has 2^-21 |y|^2.
//
// The unit roundoff u is that of the device's sums:
//   kRoundoffF32     2^-24, f32 rounded to nearest
//   kRoundoffTensor  2^-22, tensor cores: they add k products (at least 4) to the sum at once, and
//                    may truncate each below the last of the 24 bits of the largest (Fasi et al.,
//                    "Numerical behavior of NVIDIA tensor cores", 2021): at most k + 1 times
//                    2^-23 |X| |Y|, D / k times, so 1.25 D 2^-23 in all
//
// With norms N >= |x|, |X|, the bound is linear in the quantities of a code:
//   error = row.per_norm N_code + row.per_rest |y - Y| + row.own + code.own
#pragma once

#include <cstdint>
#include <limits>

#include "tensor/hostdevice.h"

namespace versor {

constexpr double kRoundoffF32 = 0x1p-24, kRoundoffTensor = 0x1p-22;

// Up to this norm no f32 product or square can overflow. Beyond it there is no bound: such a row is
// compared with every code in f64, and such a code with every row.
constexpr double kLargestNorm = 1e15;
constexpr double kNoBound = std::numeric_limits<double>::infinity();

class ScoreBound {
 public:
  // D: columns; u: unit roundoff, as above.
  ScoreBound(int64_t D, double u) {
    const double n = static_cast<double>(D + 16), nu = n * u;
    product_ = nu < 0.5 ? nu / (1 - nu) : kNoBound;
    underflow_ = 4 * n * 0x1p-126;
    exact_ = n * 0x1p-52;
  }

  // norm: N; rest: |x - X|; likewise for a code. A NaN counts as too large.
  struct Row {
    double per_norm, per_rest, own;
  };
  VERSOR_HD Row row(double norm, double rest) const {
    if (!(norm < kLargestNorm)) return {0, 0, kNoBound};
    // s contains 2 x.y; the f64 sums are off by a fraction of (N_row + N_code)^2.
    return {2 * (rest + (product_ + exact_) * norm) + underflow_, 2 * norm,
            underflow_ * (1 + norm) + exact_ * norm * norm};
  }
  struct Code {
    double norm, rest, own;
  };
  VERSOR_HD Code code(double norm, double rest) const {
    if (!(norm < kLargestNorm)) return {0, 0, kNoBound};
    return {norm, rest, (0x1p-21 + exact_) * norm * norm};
  }

 private:
  double product_;  // gamma
  double
      underflow_;  // terms below f32's smallest normal number may be lost: inputs, products, sums
  double exact_;   // the f64 roundings: centring, norms and the final exact comparison
};

// An upper bound of |s - computed s|.
VERSOR_HD inline double score_error(const ScoreBound::Row& row, const ScoreBound::Code& code) {
  return row.per_norm * code.norm + row.per_rest * code.rest + (row.own + code.own);
}

}  // namespace versor
