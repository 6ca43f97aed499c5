// Eigenvalues of matrices whose eigenvalues are known, and rates of Gaussians worked out by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/synthetic.h"
#include "experiments/study/rate_distortion.h"
#include "tests/reference.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Q diag(values) Q', Q a product of reflections along random vectors.
std::vector<double> turned(const std::vector<double>& values, uint64_t seed) {
  const auto n = static_cast<int64_t>(values.size());
  ref::Random random(seed);
  std::vector<double> a(n * n);
  for (int64_t i = 0; i < n; ++i) a[i * n + i] = values[i];
  for (int round = 0; round < 3; ++round) {
    const ref::Array v = random.array({n});
    const double squares = std::pow(ref::norm(v), 2);
    // A row and then a column at a time: x - 2 v (v.x) / |v|^2.
    for (const auto& [step, stride] : {std::pair(n, int64_t{1}), {int64_t{1}, n}})
      for (int64_t i = 0; i < n; ++i) {
        double along = 0;
        for (int64_t j = 0; j < n; ++j) along += v[j] * a[i * step + j * stride];
        for (int64_t j = 0; j < n; ++j) a[i * step + j * stride] -= 2 * v[j] * along / squares;
      }
  }
  return a;
}

void check_eigenvalues(const std::vector<double>& matrix, std::vector<double> expected) {
  std::sort(expected.begin(), expected.end());
  const auto n = static_cast<int64_t>(expected.size());
  const std::vector<double> found = symmetric_eigenvalues(matrix, n);
  REQUIRE(found.size() == expected.size());
  const double scale = std::max(std::abs(expected.front()), std::abs(expected.back()));
  for (size_t i = 0; i < found.size(); ++i)
    CHECK(std::abs(found[i] - expected[i]) <= 1e-13 * scale);
}

}  // namespace

TEST_CASE("rate-distortion: eigenvalues of matrices that have known ones") {
  check_eigenvalues({3}, {3});
  check_eigenvalues({2, 1, 1, 2}, {1, 3});
  check_eigenvalues({0, 0, 0, 0}, {0, 0});
  for (const std::vector<double>& values : {std::vector<double>{5, 1, 0.25, 1e-6, 0},
                                            {2, 2, 2, -1, -1, 7, 0},
                                            {1e4, 1e3, 1e2, 10, 1, 0.1, 0.01, 0.001, 0, 0, 0}}) {
    std::vector<double> diagonal(values.size() * values.size());
    for (size_t i = 0; i < values.size(); ++i) diagonal[i * values.size() + i] = values[i];
    check_eigenvalues(diagonal, values);
    for (uint64_t seed : {1, 2, 3}) check_eigenvalues(turned(values, seed), values);
  }
  // Second differences: 2 - 2 cos(k pi / (n + 1)).
  constexpr int64_t n = 60;
  std::vector<double> differences(n * n), expected;
  for (int64_t i = 0; i < n; ++i) {
    differences[i * n + i] = 2;
    if (i > 0) differences[i * n + i - 1] = differences[(i - 1) * n + i] = -1;
    expected.push_back(2 - 2 * std::cos(static_cast<double>(i + 1) * std::numbers::pi / (n + 1)));
  }
  check_eigenvalues(differences, expected);
  CHECK_THROWS_AS(symmetric_eigenvalues({1, 2, 3}, 2), Error);
}

TEST_CASE("rate-distortion: Gaussians by hand") {
  const auto near = [](double x) { return doctest::Approx(x).epsilon(1e-12); };
  CHECK(gaussian_distortion({2.5}, 0) == near(2.5));
  CHECK(gaussian_distortion({4}, 3) == near(4.0 / 64));  // D = variance 2^-2R
  // Level 1: 2 + 1 + 0 + 0 bits, errors 1, 1, 1 and 0.5.
  CHECK(gaussian_distortion({16, 4, 1, 0.5}, 3) == near(3.5 / 4));
  CHECK(gaussian_distortion({0.5, 16, 1, 4}, 3) == near(3.5 / 4));
  // Level 1/4: 3 + 2 + 1 + 0.5 bits.
  CHECK(gaussian_distortion({16, 4, 1, 0.5, 0}, 6.5) == near(1.0 / 5));
  CHECK_THROWS_AS(gaussian_distortion({}, 1), Error);
  CHECK_THROWS_AS(gaussian_distortion({0, 0}, 1), Error);
  CHECK_THROWS_AS(gaussian_distortion({1}, -1), Error);
}

TEST_CASE("rate-distortion: the covariance of images") {
  const Dataset set = synthetic_images(1030, 1).train;  // more than one product
  const std::vector<double> covariance = covariance_of(set);
  REQUIRE(covariance.size() == 3072u * 3072u);
  const uint8_t* pixels = set.images.data<uint8_t>();
  for (const auto& [a, b] : {std::pair(0, 0), {7, 3071}, {3071, 7}, {100, 103}, {1500, 1500}}) {
    double sum_a = 0, sum_b = 0, products = 0;
    for (int64_t i = 0; i < 1030; ++i) {
      const double x = pixels[i * 3072 + a] / 127.5 - 1, y = pixels[i * 3072 + b] / 127.5 - 1;
      sum_a += x, sum_b += y, products += x * y;
    }
    const double expected = products / 1030 - sum_a / 1030 * sum_b / 1030;
    CHECK(covariance[a * 3072 + b] == doctest::Approx(expected).epsilon(1e-4));
  }
}

}  // namespace versor::testing
