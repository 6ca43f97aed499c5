// How far the scores of nearest.cpp can be off: s = |c|^2 - 2 e.c, with e.c from a product whose
// factors are f32, or were rounded to bf16 by us. What was rounded off is known, so that from
//   e.c - E.C = (e - E).c + E.(c - C)
// and the bound of a sum in any order (Higham, "Accuracy and Stability of Numerical Algorithms",
// section 3.1), with gamma = n u / (1 - n u) and n = D + 16, follows
//   |e.c - fl(E.C)| <= |e - E| |c| + |E| |c - C| + gamma |E| |C|.
// The 16 covers what is rounded around the product: e and c from the mean, |c|^2, s itself.
// vq/cuda/score_error.h is the same for a GPU.
#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "tensor/dtype.h"

namespace versor::cpu {

// Of a vector, or the largest of several: its norm, and that of what bf16 rounds off (0 if unused).
struct CentredNorms {
  double f32 = 0, rest = 0;
};

// x as bf16, where what is too small for a normal number becomes 0: the processor's products would
// take it for 0 too. Without branches, so that a loop over it becomes vectors; of a NaN anything
// may come: its row or code has no finite error and is compared in f64 alone.
inline bf16 normal_bf16(float x) {
  const auto u = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  bf16 result;
  result.bits = static_cast<uint16_t>((u & 0x7fffffffu) < 0x00800000u ? 0u : rounded);
  return result;
}

// A little more and a little less than x: by at least one unit in the last place.
inline float raised(float x) {
  return x + std::abs(x) * 0x1p-22f + 1e-44f;
}
inline float lowered(float x) {
  return x - std::abs(x) * 0x1p-22f - 1e-44f;
}

// At least |s - computed s|; infinite where f32 cannot hold the numbers. A NaN counts as that.
inline double score_error(const CentredNorms& e, const CentredNorms& c, int64_t D) {
  const double e_norm = e.f32 + e.rest, c_norm = c.f32 + c.rest;  // of E and C too
  if (!(e_norm * c_norm < 1e30 && c_norm * c_norm < 1e30 && e_norm < 1e37 && c_norm < 1e37))
    return std::numeric_limits<double>::infinity();
  const double n = static_cast<double>(D + 16), u = 0x1p-24, gamma = n * u / (1 - n * u);
  if (!(n * u < 0.5)) return std::numeric_limits<double>::infinity();
  const double products = e.rest * c_norm + e_norm * c.rest + gamma * e_norm * c_norm;
  const double underflow = 4 * n * 0x1p-126 * (1 + e_norm + c_norm);
  // The f64 of the end is off too.
  const double exact = n * 0x1p-52 * (e_norm + c_norm) * (e_norm + c_norm);
  return 2 * products + 8 * u * c_norm * c_norm + underflow + exact;
}

}  // namespace versor::cpu
