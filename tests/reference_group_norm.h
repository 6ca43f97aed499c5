// Group normalisation (Wu and He 2018) of images [N,H,W,C].
#pragma once

#include "tests/reference_array.h"

namespace versor::reference {

// x[n,h,w,c] = (x - mean) scale, with mean and variance over h, w and the channels of c's group,
// and scale = 1 / sqrt(variance + eps) for each element.
struct Normalized {
  Array x, scale;
};
inline Normalized normalized_groups(const Array& x, int64_t groups, double eps) {
  const int64_t N = x.dim(0), P = x.dim(1) * x.dim(2), C = x.dim(3), D = C / groups;
  Normalized out{x, x};
  for (int64_t n = 0; n < N; ++n)
    for (int64_t g = 0; g < groups; ++g) {
      double sum = 0.0, squares = 0.0;
      const auto at = [&](int64_t p, int64_t d) { return (n * P + p) * C + g * D + d; };
      for (int64_t p = 0; p < P; ++p)
        for (int64_t d = 0; d < D; ++d) sum += x[at(p, d)];
      const double mean = sum / static_cast<double>(P * D);
      for (int64_t p = 0; p < P; ++p)
        for (int64_t d = 0; d < D; ++d) squares += (x[at(p, d)] - mean) * (x[at(p, d)] - mean);
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(P * D) + eps);
      for (int64_t p = 0; p < P; ++p)
        for (int64_t d = 0; d < D; ++d) {
          out.x[at(p, d)] = (x[at(p, d)] - mean) * scale;
          out.scale[at(p, d)] = scale;
        }
    }
  return out;
}

// y[n,h,w,c] = normalized x * weight[c] + bias[c].
inline Array group_norm(const Array& x, const Array& weight, const Array& bias, int64_t groups,
                        double eps) {
  Array y = normalized_groups(x, groups, eps).x;
  const int64_t C = x.dim(3);
  for (int64_t i = 0; i < y.count(); ++i) y[i] = y[i] * weight[i % C] + bias[i % C];
  return y;
}

// dbias[c] = sum of dy[n,h,w,c];  dweight[c] = sum of dy[n,h,w,c] x^[n,h,w,c], x^ the normalized x;
// dx = scale (d - mean of d - x^ mean of d x^) with d = weight dy, the means over the group.
struct GroupNormGradients {
  Array x, weight, bias;
};
inline GroupNormGradients group_norm_grad(const Array& dy, const Array& x, const Array& weight,
                                          int64_t groups, double eps) {
  const int64_t N = x.dim(0), P = x.dim(1) * x.dim(2), C = x.dim(3), D = C / groups;
  const Normalized hat = normalized_groups(x, groups, eps);
  GroupNormGradients d{zeros(x.shape), zeros({C}), zeros({C})};
  for (int64_t i = 0; i < x.count(); ++i) {
    d.weight[i % C] += dy[i] * hat.x[i];
    d.bias[i % C] += dy[i];
  }
  for (int64_t n = 0; n < N; ++n)
    for (int64_t g = 0; g < groups; ++g) {
      double mean_d = 0.0, mean_dx = 0.0;
      for (int64_t p = 0; p < P; ++p)
        for (int64_t c = g * D; c < (g + 1) * D; ++c) {
          const int64_t i = (n * P + p) * C + c;
          mean_d += weight[c] * dy[i] / static_cast<double>(P * D);
          mean_dx += weight[c] * dy[i] * hat.x[i] / static_cast<double>(P * D);
        }
      for (int64_t p = 0; p < P; ++p)
        for (int64_t c = g * D; c < (g + 1) * D; ++c) {
          const int64_t i = (n * P + p) * C + c;
          d.x[i] = hat.scale[i] * (weight[c] * dy[i] - mean_d - hat.x[i] * mean_dx);
        }
    }
  return d;
}

}  // namespace versor::reference
