// How near a set of images is to another, by features: vectors that a network makes of them, here
// the last ones of our classifier (classifier.h). None of these numbers is an FID or may be
// compared with one: that name is for the features of one Inception network (Heusel et al. 2017).
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace versor {

// All features are f32 [N,d] on the host. Everything here throws Error for another type or shape,
// sets of different d, and a NaN or infinity.

struct FeatureMoments {
  int64_t count = 0;
  std::vector<double> mean;        // [d]
  std::vector<double> covariance;  // [d,d], divided by count - 1
};
FeatureMoments moments_of(const Tensor& features);  // N >= 2

// The square of the Fréchet distance of two Gaussians, as is usual,
//   |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))        (Dowson and Landau 1982, equation 4).
// Covariances may be singular. The trace of the root is the sum of the singular values of L1' L2
// with S = L L'. Between equal sets it is 0 up to rounding, of the order of 1e-15 of tr S.
double frechet_distance(const FeatureMoments& a, const FeatureMoments& b);

// Of a finite number of samples it is too large, by an amount that is proportional to 1/N for large
// N. This is its value for N to infinity: where the line through the values of 1/4, 2/4, 3/4 and
// all of the samples, in a random order, meets 1/N = 0 (Chong and Forsyth 2020). N >= 8.
double frechet_limit(const FeatureMoments& reference, const Tensor& samples, Rng rng);

// Precision: the part of the samples that lie near real ones, within the distance of some real one
// to its third nearest real neighbour. Recall: the same with the sets exchanged. (Kynkäänniemi et
// al. 2019, equations 1 and 2, k = 3.) Both depend on the numbers of samples, which should be
// equal.
struct PrecisionRecall {
  double precision = 0, recall = 0;
};
PrecisionRecall precision_recall(const Tensor& real, const Tensor& samples);  // N > 3

// Of each row of `features` the nearest row of `others`, the first of equals, and how far it is.
struct Nearest {
  std::vector<int32_t> index;    // [N]
  std::vector<double> distance;  // [N], not squared
};
Nearest nearest_in(const Tensor& features, const Tensor& others);

}  // namespace versor
