// The quality of samples against closed forms.
#include <cmath>

#include "experiments/generate/sample_quality.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

FeatureMoments gaussian(std::vector<double> mean, std::vector<double> covariance) {
  return {100, std::move(mean), std::move(covariance)};
}

// Rows of normal numbers with these deviations about a mean.
Tensor normal_rows(int64_t count, uint64_t seed, const std::vector<float>& deviation,
                   float mean = 0) {
  const auto size = static_cast<int64_t>(deviation.size());
  std::vector<float> values = ops::normal({count, size}, Rng(seed)).to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = mean + values[i] * deviation[i % deviation.size()];
  return Tensor::from(values, {count, size});
}

TEST_SUITE_BEGIN(cpu_only());

}  // namespace

TEST_CASE("sample quality: moments of features") {
  const Tensor rows = Tensor::from(std::vector<float>{1, 2, 3, 6, 5, 1}, {3, 2});
  const FeatureMoments m = moments_of(rows);
  CHECK(m.count == 3);
  CHECK(m.mean == std::vector<double>{3, 3});
  CHECK(m.covariance == std::vector<double>{4, -1, -1, 7});
}

TEST_CASE("sample quality: the Fréchet distance in closed form") {
  // One number: (m1 - m2)^2 + (s1 - s2)^2.
  CHECK(frechet_distance(gaussian({1}, {4}), gaussian({4}, {25})) == doctest::Approx(9 + 9));
  // Independent numbers: the sum.
  CHECK(frechet_distance(gaussian({0, 1, 0}, {1, 0, 0, 0, 9, 0, 0, 0, 16}),
                         gaussian({0, 0, 2}, {4, 0, 0, 0, 9, 0, 0, 0, 1})) ==
        doctest::Approx(1 + 4 + 1 + 0 + 9));
  // Two numbers: tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)).
  const FeatureMoments a = gaussian({0, 0}, {3, 1, 1, 2}), b = gaussian({1, 1}, {2, -1, -1, 5});
  const double trace = 3 * 2 - 2 * 1 + 2 * 5, determinant = 5 * 9;
  const double expected = 2 + 5 + 7 - 2 * std::sqrt(trace + 2 * std::sqrt(determinant));
  CHECK(frechet_distance(a, b) == doctest::Approx(expected).epsilon(1e-14));
  CHECK(frechet_distance(b, a) == doctest::Approx(expected).epsilon(1e-14));
}

TEST_CASE("sample quality: singular covariances") {
  // u u' and v v': the root's trace is |u.v|.
  const FeatureMoments u = gaussian({0, 0, 0}, {1, 2, 0, 2, 4, 0, 0, 0, 0}),
                       v = gaussian({0, 0, 0}, {9, 0, 3, 0, 0, 0, 3, 0, 1});
  CHECK(frechet_distance(u, v) == doctest::Approx(5 + 10 - 2 * 3).epsilon(1e-14));
  const FeatureMoments point = gaussian({0, 0, 0}, std::vector<double>(9));
  CHECK(frechet_distance(u, point) == doctest::Approx(5));
  CHECK(frechet_distance(point, point) == 0);

  // Two numbers in five dimensions: more numbers than the sets have points.
  const Tensor few = normal_rows(4, 1, {2, 1}), other = normal_rows(3, 2, {1, 3}, 1);
  const Tensor axes = ops::normal({2, 5}, Rng(3));
  std::vector<float> e = axes.to_vector<float>();  // made orthonormal
  for (int axis = 0; axis < 2; ++axis) {
    float* row = &e[static_cast<size_t>(axis * 5)];
    double along = 0, square = 0;
    for (int i = 0; i < 5 && axis == 1; ++i) along += row[i] * e[static_cast<size_t>(i)];
    for (int i = 0; i < 5; ++i) row[i] -= static_cast<float>(along) * e[static_cast<size_t>(i)];
    for (int i = 0; i < 5; ++i) square += row[i] * row[i];
    for (int i = 0; i < 5; ++i) row[i] /= static_cast<float>(std::sqrt(square));
  }
  const Tensor frame = Tensor::from(e, {2, 5});
  const double plain = frechet_distance(moments_of(few), moments_of(other));
  CHECK(plain > 1);
  CHECK(frechet_distance(moments_of(ops::matmul(few, frame)),
                         moments_of(ops::matmul(other, frame))) ==
        doctest::Approx(plain).epsilon(1e-5));
}

TEST_CASE("sample quality: a set is at distance 0 of itself, in any number of dimensions") {
  for (const int64_t count : {6, 300}) {
    std::vector<float> deviation(64);
    for (size_t i = 0; i < 64; ++i) deviation[i] = std::pow(10.f, static_cast<float>(i % 7) - 3);
    const FeatureMoments m = moments_of(normal_rows(count, 4, deviation, 10));
    double trace = 0;
    for (size_t i = 0; i < 64; ++i) trace += m.covariance[65 * i];
    CHECK(std::abs(frechet_distance(m, m)) < 1e-11 * trace);
  }
}

TEST_CASE("sample quality: the limit removes what few samples add") {
  const std::vector<float> deviation(8, 1);
  std::vector<double> identity(64);
  for (size_t i = 0; i < 8; ++i) identity[9 * i] = 1;
  const FeatureMoments truth = gaussian(std::vector<double>(8), identity);
  double value = 0, limit = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Tensor samples = normal_rows(400, 10 + seed, deviation);
    value += frechet_distance(truth, moments_of(samples)) / 8;
    limit += frechet_limit(truth, samples, Rng(seed)) / 8;
  }
  // The mean of 8 numbers adds 8/N, their covariance about 8 (8 + 1) / 8N.
  CHECK(value == doctest::Approx((8 + 9) / 400.0).epsilon(0.15));
  CHECK(std::abs(limit) < 0.15 * value);
  const Tensor moved = normal_rows(400, 30, deviation, 1);
  CHECK(frechet_limit(truth, moved, Rng(1)) == doctest::Approx(8).epsilon(0.05));
}

TEST_CASE("sample quality: precision and recall of equal, distant and partial sets") {
  const Tensor real = normal_rows(60, 5, {1, 1, 1});
  const auto same = precision_recall(real, real);
  CHECK(same.precision == 1);
  CHECK(same.recall == 1);
  const auto far = precision_recall(real, normal_rows(60, 6, {1, 1, 1}, 100));
  CHECK(far.precision == 0);
  CHECK(far.recall == 0);
  // Samples of one of two clusters are right and are half of what there is.
  const Tensor clusters = ops::concat_rows({real, normal_rows(60, 7, {1, 1, 1}, 100)});
  const auto half = precision_recall(clusters, real);
  CHECK(half.precision == 1);
  CHECK(half.recall == 0.5);
  // Of 0, 1, 2, 10 on a line the third neighbours are 10, 9, 8 and 10 away: 12.5 is in no
  // neighbourhood but the last one's.
  const Tensor line = Tensor::from(std::vector<float>{0, 1, 2, 10}, {4, 1});
  const Tensor samples = Tensor::from(std::vector<float>{12.5f, 19.5f, 20.5f, -10.5f}, {4, 1});
  CHECK(precision_recall(line, samples).precision == 0.5);
}

TEST_CASE("sample quality: nearest rows, the first of equals") {
  const Tensor others = Tensor::from(std::vector<float>{0, 0, 3, 4, 3, 4}, {3, 2});
  const Nearest n = nearest_in(Tensor::from(std::vector<float>{3, 4, 1, 0}, {2, 2}), others);
  CHECK(n.index == std::vector<int32_t>{1, 0});
  CHECK(n.distance == std::vector<double>{0, 1});
}

TEST_CASE("sample quality: features that cannot be judged are errors") {
  const Tensor good = normal_rows(10, 8, {1, 1});
  std::vector<float> values = good.to_vector<float>();
  values[5] = std::numeric_limits<float>::quiet_NaN();
  const Tensor bad = Tensor::from(values, {10, 2});
  CHECK(error_of([&] { moments_of(bad); }) == "[features] number 1 of row 2 is nan");
  CHECK(contains(error_of([&] { precision_recall(good, bad); }), "is nan"));
  CHECK(contains(error_of([&] { precision_recall(bad, good); }), "is nan"));
  CHECK(contains(error_of([&] { nearest_in(good, bad); }), "is nan"));
  CHECK(contains(error_of([&] { frechet_limit(moments_of(good), bad, Rng(1)); }), "is nan"));
  const Tensor wide = normal_rows(10, 9, {1, 1, 1});
  CHECK(error_of([&] { precision_recall(good, wide); }) ==
        "[features] of 3 numbers do not go with those of 2");
  CHECK(error_of([&] { frechet_distance(moments_of(good), moments_of(wide)); }) ==
        "[features] of 2 numbers do not go with those of 3");
  CHECK(error_of([&] { moments_of(good.rows(0, 1)); }) ==
        "[features] there are 1, which are less than 2");
  CHECK(contains(error_of([&] { moments_of(ops::zeros({2, 2}, {}, DType::i32)); }), "must be f32"));
}

TEST_SUITE_END();

}  // namespace versor::testing
