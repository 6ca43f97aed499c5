// The quality of samples: see sample_quality.h.
#include "experiments/generate/sample_quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "experiments/study/rate_distortion.h"

namespace versor {
namespace {

constexpr int64_t kNeighbour = 3;

void check_features(const Tensor& features, int64_t least, int64_t size) {
  check(features.dtype() == DType::f32 && features.shape().rank() == 2, "features",
        "must be f32 [N,d], not ", features.dtype(), " ", features.shape());
  check(features.dim(0) >= least, "features", "there are ", features.dim(0),
        ", which are less than ", least);
  check(size == 0 || features.dim(1) == size, "features", "of ", features.dim(1),
        " numbers do not go with those of ", size);
  const float* values = features.data<float>();
  for (int64_t i = 0; i < features.numel(); ++i)
    check(std::isfinite(values[i]), "features", "number ", i % features.dim(1), " of row ",
          i / features.dim(1), " is ", values[i]);
}

double squared_distance(const float* a, const float* b, int64_t size) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// L [d,r] with S = L L' and r <= d, row by row: Cholesky's decomposition that takes the largest
// remaining variance next and ends where only rounding remains (Higham, Accuracy and Stability of
// Numerical Algorithms, 2002, section 10.3).
struct Factor {
  int64_t rank = 0;
  std::vector<double> columns;  // one after the other
};
Factor factor_of(const FeatureMoments& moments) {
  const auto size = static_cast<int64_t>(moments.mean.size());
  const auto& s = moments.covariance;
  std::vector<double> left(static_cast<size_t>(size));  // the variance that the columns lack
  for (int64_t i = 0; i < size; ++i) left[i] = s[i * size + i];
  const double least =
      1e-15 * static_cast<double>(size) * *std::max_element(left.begin(), left.end());
  Factor factor;
  for (; factor.rank < size; ++factor.rank) {
    const int64_t pivot = std::max_element(left.begin(), left.end()) - left.begin();
    if (left[pivot] <= least) break;
    const double root = std::sqrt(left[pivot]);
    std::vector<double> column(s.begin() + pivot * size, s.begin() + (pivot + 1) * size);
    for (int64_t k = 0; k < factor.rank; ++k) {
      const double* before = &factor.columns[k * size];
      for (int64_t i = 0; i < size; ++i) column[i] -= before[i] * before[pivot];
    }
    for (int64_t i = 0; i < size; ++i) {
      column[i] /= root;
      left[i] -= column[i] * column[i];
    }
    left[pivot] = 0;
    factor.columns.insert(factor.columns.end(), column.begin(), column.end());
  }
  return factor;
}

// The sum of the singular values of M = A' B. They are the positive eigenvalues of [0 M; M' 0],
// which, unlike those of M' M, have errors in proportion to the largest of them and not to its
// root.
double nuclear_norm(const Factor& a, const Factor& b, int64_t size) {
  const int64_t n = a.rank + b.rank;
  if (a.rank == 0 || b.rank == 0) return 0;
  std::vector<double> matrix(static_cast<size_t>(n * n));
  for (int64_t j = 0; j < b.rank; ++j)
    for (int64_t i = 0; i < a.rank; ++i)
      matrix[(a.rank + j) * n + i] = std::inner_product(
          &a.columns[i * size], &a.columns[i * size] + size, &b.columns[j * size], 0.0);
  double sum = 0;
  for (double value : symmetric_eigenvalues(std::move(matrix), n)) sum += std::abs(value) / 2;
  return sum;
}

// The squared distance of each row to its third nearest other row.
std::vector<double> radii(const Tensor& features) {
  const int64_t count = features.dim(0), size = features.dim(1);
  const float* rows = features.data<float>();
  std::vector<double> all(static_cast<size_t>(count));
#pragma omp parallel for
  for (int64_t i = 0; i < count; ++i) {
    std::vector<double> near(kNeighbour, std::numeric_limits<double>::infinity());  // ascending
    for (int64_t j = 0; j < count; ++j) {
      const double distance = squared_distance(rows + i * size, rows + j * size, size);
      if (j == i || distance >= near.back()) continue;
      near.back() = distance;
      std::sort(near.begin(), near.end());
    }
    all[i] = near.back();
  }
  return all;
}

// The part of `features` that lie within the radius of some row of `others`.
double part_within(const Tensor& features, const Tensor& others,
                   const std::vector<double>& radius) {
  const int64_t count = features.dim(0), size = features.dim(1);
  int64_t within = 0;
#pragma omp parallel for reduction(+ : within)
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < others.dim(0); ++j)
      if (squared_distance(features.data<float>() + i * size, others.data<float>() + j * size,
                           size) <= radius[j]) {
        ++within;
        break;
      }
  return static_cast<double>(within) / static_cast<double>(count);
}

}  // namespace

FeatureMoments moments_of(const Tensor& features) {
  check_features(features, 2, 0);
  const int64_t count = features.dim(0), size = features.dim(1);
  const float* rows = features.data<float>();
  FeatureMoments m{count, std::vector<double>(size), std::vector<double>(size * size)};
  for (int64_t i = 0; i < count * size; ++i) m.mean[i % size] += rows[i];
  for (double& mean : m.mean) mean /= static_cast<double>(count);
#pragma omp parallel for schedule(dynamic)
  for (int64_t a = 0; a < size; ++a) {
    for (int64_t n = 0; n < count; ++n) {
      const double difference = rows[n * size + a] - m.mean[a];
      for (int64_t b = 0; b <= a; ++b)
        m.covariance[a * size + b] += difference * (rows[n * size + b] - m.mean[b]);
    }
    for (int64_t b = 0; b <= a; ++b) m.covariance[a * size + b] /= static_cast<double>(count - 1);
  }
  for (int64_t a = 0; a < size; ++a)
    for (int64_t b = 0; b < a; ++b) m.covariance[b * size + a] = m.covariance[a * size + b];
  return m;
}

double frechet_distance(const FeatureMoments& a, const FeatureMoments& b) {
  const size_t size = a.mean.size();
  check(b.mean.size() == size, "features", "of ", size, " numbers do not go with those of ",
        b.mean.size());
  double sum = 0;
  for (size_t i = 0; i < size; ++i) {
    const double difference = a.mean[i] - b.mean[i];
    sum += difference * difference + a.covariance[i * size + i] + b.covariance[i * size + i];
  }
  return sum - 2 * nuclear_norm(factor_of(a), factor_of(b), static_cast<int64_t>(size));
}

double frechet_limit(const FeatureMoments& reference, const Tensor& samples, Rng rng) {
  check_features(samples, 8, static_cast<int64_t>(reference.mean.size()));
  const int64_t count = samples.dim(0), size = samples.dim(1);
  Tensor mixed({count, size}, DType::f32);
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(samples.data<float>() + i * size, size,
                mixed.data<float>() +
                    size * rng.permute(static_cast<uint32_t>(i), static_cast<uint32_t>(count)));
  double x = 0, y = 0, xx = 0, xy = 0;  // means over the four points (1/N, value)
  for (int64_t quarters = 1; quarters <= 4; ++quarters) {
    const int64_t some = count * quarters / 4;
    const double inverse = 1.0 / static_cast<double>(some);
    const double value = frechet_distance(reference, moments_of(mixed.rows(0, some)));
    x += inverse / 4;
    y += value / 4;
    xx += inverse * inverse / 4;
    xy += inverse * value / 4;
  }
  return y - x * (xy - x * y) / (xx - x * x);
}

PrecisionRecall precision_recall(const Tensor& real, const Tensor& samples) {
  check_features(real, kNeighbour + 1, 0);
  check_features(samples, kNeighbour + 1, real.dim(1));
  return {part_within(samples, real, radii(real)), part_within(real, samples, radii(samples))};
}

Nearest nearest_in(const Tensor& features, const Tensor& others) {
  check_features(features, 1, 0);
  check_features(others, 1, features.dim(1));
  const int64_t count = features.dim(0), size = features.dim(1);
  Nearest nearest{std::vector<int32_t>(count),
                  std::vector<double>(count, std::numeric_limits<double>::infinity())};
#pragma omp parallel for
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < others.dim(0); ++j) {
      const double squared = squared_distance(features.data<float>() + i * size,
                                              others.data<float>() + j * size, size);
      if (squared >= nearest.distance[i]) continue;
      nearest.distance[i] = squared;
      nearest.index[i] = static_cast<int32_t>(j);
    }
    nearest.distance[i] = std::sqrt(nearest.distance[i]);
  }
  return nearest;
}

}  // namespace versor
