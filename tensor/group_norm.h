// Group normalisation (Wu and He, "Group Normalization", 2018), the arithmetic of its elements,
// written once for every device. Contract and shapes: backend.h.
#pragma once

#include <cmath>

#include "tensor/tensor.h"

namespace versor {

// Images [N,H,W,C] seen as N x P positions of C channels in G groups.
struct GroupNormSizes {
  int64_t images, positions, channels, groups;

  GroupNormSizes(const Tensor& x, int64_t groups)
      : images(x.dim(0)), positions(x.dim(1) * x.dim(2)), channels(x.dim(3)), groups(groups) {}
  VERSOR_HD int64_t group_channels() const { return channels / groups; }
  VERSOR_HD int64_t group_elements() const { return positions * group_channels(); }
  // Where the first element of group g of image n lies.
  VERSOR_HD int64_t offset(int64_t n, int64_t g) const {
    return n * positions * channels + g * group_channels();
  }
};

// Of one group of one image.
struct GroupNormStatistics {
  float mean;
  float scale;  // 1 / sqrt(variance + eps)

  // From the sums over n elements of x and of (x - mean)^2.
  VERSOR_HD static float scale_of(double squares, double n, float eps) {
    return static_cast<float>(1.0 / std::sqrt(squares / n + static_cast<double>(eps)));
  }
  VERSOR_HD float normalized(float x) const { return (x - mean) * scale; }
};

// dx = scale (weight dy - mean of (weight dy) - x^ mean of (weight dy x^)), with x^ the normalised
// x and the means over the group.
struct GroupNormGradient {
  GroupNormStatistics statistics;
  float mean_dy, mean_dy_x;

  VERSOR_HD float operator()(float dy, float x, float weight) const {
    return statistics.scale * (weight * dy - mean_dy - statistics.normalized(x) * mean_dy_x);
  }
};

}  // namespace versor
