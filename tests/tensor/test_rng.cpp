// Philox against its published vectors; streams, uniform and normal numbers and permutations made
// from it.
#include <algorithm>
#include <set>

#include "tensor/ops.h"
#include "tensor/rng.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_SUITE_BEGIN(cpu_only());

using Block = std::array<uint32_t, 4>;

// Known-answer vectors of philox4x32-10 from the authors' library Random123 (kat_vectors).
TEST_CASE("rng: Philox gives the published blocks") {
  CHECK(Philox::block({0, 0, 0, 0}, 0, 0) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t all = 0xffffffff;
  CHECK(Philox::block({all, all, all, all}, all, all) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("rng: seed is the key, index and stream are the counter") {
  const Rng rng(0x299f31d0a4093822u, 0x0370734413198a2eu);
  CHECK(rng.bits(0x85a308d3243f6a88u) == 0xd16cfe09);
  CHECK(rng.uniform(0x85a308d3243f6a88u) == 0xd16cfe * 0x1p-24f);
}

TEST_CASE("rng: sub-streams differ from each other and in order, and are the same each time") {
  const Rng rng(7);
  CHECK(rng.split(1).stream == Rng(7).split(1).stream);
  CHECK(rng.split(1).seed == 7);
  CHECK(rng.split(1).split(2).stream != rng.split(2).split(1).stream);
  CHECK(Rng(8).split(1).stream != rng.split(1).stream);
  std::set<uint64_t> streams{rng.stream};
  std::set<uint32_t> first;
  for (uint64_t purpose = 0; purpose < 1000; ++purpose) {
    streams.insert(rng.split(purpose).stream);
    streams.insert(rng.split(purpose << 32 | 1u << 31).stream);
    first.insert(rng.split(purpose).bits(0));
  }
  CHECK(streams.size() == 2001);
  CHECK(first.size() >= 999);
}

TEST_CASE("rng: a stream goes on from any of its numbers, and a sub-stream from its first") {
  const Rng rng(7, 3);
  for (uint64_t i : {0u, 1u, 9u}) {
    CHECK(rng.from(5).bits(i) == rng.bits(5 + i));
    CHECK(rng.from(2).from(3).bits(i) == rng.bits(5 + i));
    CHECK(rng.from(5).split(1).bits(i) == rng.split(1).bits(i));
  }
  const auto all = ops::uniform({20}, rng, -1, 1, test_device()).to_vector<float>();
  const auto later = ops::uniform({8}, rng.from(12), -1, 1, test_device()).to_vector<float>();
  CHECK((later == std::vector<float>(all.begin() + 12, all.end())));
}

TEST_CASE("rng: uniform numbers have mean 1/2, variance 1/12 and no memory") {
  const Rng rng(1234);
  constexpr int kCount = 100000;
  double sum = 0, squares = 0, products = 0, lowest = 1, highest = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = rng.uniform(i) - 0.5, next = rng.uniform(i + 1) - 0.5;
    sum += x;
    squares += x * x;
    products += x * next;
    lowest = std::min(lowest, x + 0.5);
    highest = std::max(highest, x + 0.5);
  }
  // Five standard deviations of each estimate: 1/sqrt(12 n), 1/sqrt(180 n), 1/(12 sqrt(n)).
  CHECK(std::abs(sum / kCount) < 5 / std::sqrt(12.0 * kCount));
  CHECK(std::abs(squares / kCount - 1.0 / 12) < 5 / std::sqrt(180.0 * kCount));
  CHECK(std::abs(products / kCount) < 5 / (12 * std::sqrt(1.0 * kCount)));
  CHECK(lowest >= 0);
  CHECK(lowest < 1e-3);
  CHECK(highest < 1);
  CHECK(highest > 0.999);
}

bool is_permutation(const Rng& rng, uint32_t n) {
  std::vector<bool> seen(n, false);
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t position = rng.permute(i, n);
    if (position >= n || seen[position]) return false;
    seen[position] = true;
  }
  return true;
}

TEST_CASE("rng: permute is a bijection of 0..n-1") {
  for (uint32_t n = 1; n <= 300; ++n) {
    CAPTURE(n);
    CHECK(is_permutation(Rng(n).split(1), n));
  }
  CHECK(is_permutation(Rng(2), 50000));
  CHECK(is_permutation(Rng(3), 65536));
}

// chi^2 of the counts against equal ones, in standard deviations of its distribution.
double chi_square_deviation(const std::vector<int>& counts) {
  double total = 0, chi = 0;
  for (int n : counts) total += n;
  const double expected = total / static_cast<double>(counts.size());
  for (int n : counts) chi += (n - expected) * (n - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1);
  return (chi - freedom) / std::sqrt(2 * freedom);
}

TEST_CASE("rng: permute puts the first two anywhere, equally often") {
  for (uint32_t n : {4u, 5u, 10u, 16u, 37u}) {
    CAPTURE(n);
    std::vector<int> first(n, 0), pairs(n * (n - 1), 0);
    const int trials = static_cast<int>(100 * pairs.size());
    for (int t = 0; t < trials; ++t) {
      const Rng rng = Rng(17).split(static_cast<uint64_t>(t));
      const uint32_t a = rng.permute(0, n), b = rng.permute(1, n);
      ++first[a];
      ++pairs[a * (n - 1) + (b < a ? b : b - 1)];
    }
    CHECK(std::abs(chi_square_deviation(first)) < 5);
    CHECK(std::abs(chi_square_deviation(pairs)) < 5);
  }
}

TEST_CASE("rng: a normal number is Box and Muller's of the first two words of its block") {
  const Rng rng(0x299f31d0a4093822u, 0x0370734413198a2eu);
  const double u = (0xd16cfe09 + 0.5) * 0x1p-32, v = 0x94fdcc * 0x1p-24;
  const double x = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::acos(-1.0) * v);
  CHECK(rng.normal(0x85a308d3243f6a88u) == doctest::Approx(x).epsilon(1e-6));
}

TEST_CASE("rng: no bits make a normal number infinite") {
  const uint32_t words[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xffffff7f, 0xffffff80, 0xffffffff};
  for (uint32_t a : words)
    for (uint32_t b : words) {
      CAPTURE(a);
      CAPTURE(b);
      CHECK(std::abs(box_muller(a, b)) < 6.77f);  // false for NaN as well
    }
  CHECK(box_muller(0, 0) == doctest::Approx(6.7637));  // sqrt(66 ln 2)
  CHECK(box_muller(0, 0x80000000) == doctest::Approx(-6.7637));
  CHECK(box_muller(0xffffffff, 0) == 0);
}

TEST_CASE("rng: normal numbers have the moments, the tails and the shape, and no memory") {
  const Rng rng(1234);
  constexpr int kCount = 1000000, kBins = 100;
  double sum = 0, squares = 0, cubes = 0, fourths = 0, products = 0, magnitudes = 0;
  std::vector<int> beyond(6, 0), bins(kBins, 0);
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = rng.normal(i), next = rng.normal(i + 1);
    sum += x;
    squares += x * x;
    cubes += x * x * x;
    fourths += x * x * x * x;
    products += x * next;
    magnitudes += (x * x - 1) * (next * next - 1);
    for (size_t limit = 0; limit < beyond.size(); ++limit)
      beyond[limit] += std::abs(x) > static_cast<double>(limit) ? 1 : 0;
    const double below = std::erfc(-x / std::sqrt(2.0)) / 2;  // the share of all numbers below x
    ++bins[static_cast<size_t>(std::min(below * kBins, kBins - 1.0))];
  }
  // Five standard deviations of each mean: those of x, x^2, ... are the roots of 1, 2, 15, 96.
  const double five = 5 / std::sqrt(1.0 * kCount);
  CHECK(std::abs(sum / kCount) < five);
  CHECK(std::abs(squares / kCount - 1) < five * std::sqrt(2));
  CHECK(std::abs(cubes / kCount) < five * std::sqrt(15));
  CHECK(std::abs(fourths / kCount - 3) < five * std::sqrt(96));
  CHECK(std::abs(products / kCount) < five);
  CHECK(std::abs(magnitudes / kCount) < five * 2);
  for (size_t limit = 1; limit < beyond.size(); ++limit) {
    CAPTURE(limit);
    const double expected = kCount * std::erfc(static_cast<double>(limit) / std::sqrt(2.0));
    CHECK(std::abs(beyond[limit] - expected) < 5 * std::sqrt(expected) + 1);
  }
  CHECK(std::abs(chi_square_deviation(bins)) < 5);
}

// A random permutation moves neighbours n/3 apart on average and keeps about one element in place.
TEST_CASE("rng: permute of a large set leaves no order") {
  constexpr uint32_t n = 50000;
  const Rng rng(18);
  int fixed = 0;
  double distance = 0;
  for (uint32_t i = 0; i + 1 < n; ++i) {
    const double here = rng.permute(i, n), next = rng.permute(i + 1, n);
    fixed += here == i ? 1 : 0;
    distance += std::abs(here - next) / n;
  }
  CHECK(fixed < 10);
  CHECK(distance / (n - 1) == doctest::Approx(1.0 / 3).epsilon(0.02));
  int equal = 0;
  for (uint32_t i = 0; i < n; ++i) equal += rng.permute(i, n) == Rng(19).permute(i, n) ? 1 : 0;
  CHECK(equal < 10);
}

TEST_SUITE_END();

}  // namespace
}  // namespace versor::testing
