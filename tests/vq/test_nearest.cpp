// Nearest code (eq. 2): the fast search must give the index that an exhaustive search in double
// gives, ties to the lowest index, whatever the sizes, the spacing and the magnitude of the
// numbers. Where f32 products cannot separate the codes, a naive f32 search is run as well, to
// prove that the case is hard. Read next: test_nearest_edges.cpp.
#include "tensor/backend.h"
#include "tests/vq/support.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

Indices search(const Array& e, const Array& codes) {
  return indices_of(vq::nearest_code(to_tensor(e), to_tensor(codes)));
}

// argmin of |c|^2 - 2 e.c in plain f32: what a fast search does without re-checking.
Indices naive_search(const Array& e, const Array& codes) {
  Indices nearest;
  for (int64_t r = 0; r < e.dim(0); ++r) {
    float smallest = INFINITY;
    int64_t best = 0;
    for (int64_t k = 0; k < codes.dim(0); ++k) {
      float squared = 0, product = 0;
      for (int64_t d = 0; d < e.dim(1); ++d) {
        const auto c = static_cast<float>(codes.at(k, d));
        squared += c * c;
        product += static_cast<float>(e.at(r, d)) * c;
      }
      if (squared - 2 * product < smallest) smallest = squared - 2 * product, best = k;
    }
    nearest.push_back(best);
  }
  return nearest;
}

int64_t disagreements(const Indices& a, const Indices& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

// x moved by `ulps` units in the last place of f32.
double moved(double x, int ulps) {
  auto f = static_cast<float>(x);
  for (; ulps > 0; --ulps) f = std::nextafter(f, INFINITY);
  for (; ulps < 0; ++ulps) f = std::nextafter(f, -INFINITY);
  return f;
}

// Once found by the fuzzer: a whole tile of scores for three codes.
TEST_CASE("nearest_code: a small search takes little memory" *
          doctest::skip(test_device() != Device{})) {
  Random random(29);
  const Tensor e = to_tensor(random.array({5, 4})), codes = to_tensor(random.array({3, 4}));
  MemoryPool& pool = backend_for({}).pool();
  pool.reset_peak();
  const size_t before = pool.peak_bytes();
  vq::nearest_code(e, codes);
  CHECK(pool.peak_bytes() - before <= 65536);
}

TEST_CASE("nearest_code: the exhaustive search's index for many sizes") {
  struct Sizes {
    int64_t R, K, D;
  };
  // The search walks in tiles of 256 rows and 1024 codes.
  const std::vector<Sizes> all = {{1, 1, 1},       {7, 1, 3},     {1, 9, 2},     {64, 64, 1},
                                  {511, 3, 2},     {512, 512, 3}, {513, 511, 2}, {513, 513, 8},
                                  {1030, 1025, 4}, {5, 2000, 16}, {3, 600, 256}, {300, 40, 256},
                                  {40, 33, 31},    {17, 100, 65}};
  for (const auto& [R, K, D] : all) {
    CAPTURE(R);
    CAPTURE(K);
    CAPTURE(D);
    Random random(static_cast<uint64_t>(R * 31 + K * 7 + D));
    const Array e = rounded(random.array({R, D})), codes = rounded(random.array({K, D}));
    const Indices expected = ref::nearest_code(e, codes);
    CHECK(search(e, codes) == expected);
    if (R > 60 && K > 2)  // many different codes, the last tile's too
      CHECK(*std::max_element(expected.begin(), expected.end()) >= K - 1 - K / 8);
  }
}

TEST_CASE("nearest_code: ties go to the lowest index") {
  // Whole numbers: distances are exact, and many are equal.
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Random random(100 + seed);
    const int64_t D = 1 + static_cast<int64_t>(seed % 3);
    Array e = random.array({90, D}, -3, 4), codes = random.array({700, D}, -3, 4);
    for (double& x : e.data) x = std::floor(x);
    for (double& x : codes.data) x = std::floor(x);
    CHECK(search(e, codes) == ref::nearest_code(e, codes));
  }
  // Halfway between two codes, which appear in both orders and lie in different tiles.
  Array codes = ref::filled({1100, 2}, 50);
  for (int64_t k : {3, 1090}) codes.at(k, 0) = k == 3 ? 1 : -1, codes.at(k, 1) = 0;
  CHECK(search({{1, 2}, {0, 0}}, codes) == Indices{3});
  std::swap(codes.at(3, 0), codes.at(1090, 0));
  CHECK(search({{1, 2}, {0, 0}}, codes) == Indices{3});
  CHECK(search({{1, 2}, {0.25, 0}}, codes) == Indices{1090});
}

TEST_CASE("nearest_code: duplicated codes, up to 1,000 equal ones") {
  Random random(110);
  const Array e = rounded(random.array({200, 12}));
  CHECK(search(e, ref::filled({1000, 12}, 0.5)) == Indices(200, 0));
  // The first 300 codes again, in another order, and the last 100 far away.
  Array codes = ref::zeros({700, 12});
  const Array base = rounded(random.array({300, 12}));
  for (int64_t k = 0; k < 700; ++k)
    for (int64_t d = 0; d < 12; ++d)
      codes.at(k, d) = k < 300 ? base.at(k, d) : k < 600 ? base.at(599 - k, d) : 40;
  const Indices found = search(e, codes);
  CHECK(found == ref::nearest_code(e, base));
  CHECK(*std::max_element(found.begin(), found.end()) < 300);
  // One other code among the equal ones.
  Array one_other = ref::filled({1000, 12}, 0.5);
  for (int64_t d = 0; d < 12; ++d) one_other.at(777, d) = -0.5;
  CHECK(search(e, one_other) == ref::nearest_code(e, one_other));
  // -0 and +0 are equal numbers: the first of them wins.
  CHECK(search(e, {{2, 12}, std::vector<double>(24, -0.0)}) == Indices(200, 0));
  Array zeros = ref::zeros({2, 12});
  zeros.at(0, 5) = -0.0;
  CHECK(search(e, zeros) == Indices(200, 0));
}

TEST_CASE("nearest_code: 1,000 codes, each one ulp from the one before") {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Random random(120 + seed);
    const int64_t D = 10;
    const Array base = rounded(random.array({D}, 0.5, 1.0));
    Array codes = ref::zeros({1000, D});
    for (int64_t k = 0; k < 1000; ++k)  // code k: coordinate d has moved by k/10 ulps in turn
      for (int64_t d = 0; d < D; ++d)
        codes.at(k, d) = moved(base[d], static_cast<int>((k + D - 1 - d) / D));
    Array e = ref::zeros({40, D});
    for (int64_t r = 0; r < 40; ++r) {
      const int64_t k = random.index(1000);
      for (int64_t d = 0; d < D; ++d)
        e.at(r, d) = moved(codes.at(k, d), static_cast<int>(random.index(3)) - 1);
    }
    const Indices expected = ref::nearest_code(e, codes);
    CHECK(search(e, codes) == expected);
    CHECK(disagreements(naive_search(e, codes), expected) > 20);
  }
}

TEST_CASE("nearest_code: codes too near for f32 products, many seeds") {
  int64_t naive_errors = 0, rows = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(200 + seed);
    const int64_t D = std::vector<int64_t>{2, 3, 16, 64, 256}[seed % 5];
    // Fewer, exactly as many, and more codes near each row than the search can re-check singly.
    const int64_t K = std::vector<int64_t>{5, 24, 25, 60}[seed % 4];
    const Array centre = random.array({D});
    Array codes = ref::zeros({K, D}), e = ref::zeros({30, D});
    for (int64_t k = 0; k < K; ++k)
      for (int64_t d = 0; d < D; ++d)
        codes.at(k, d) = moved(centre[d], static_cast<int>(random.index(5)) - 2);
    const double spread = seed % 2 ? 1e-6 : 0.5;
    for (int64_t i = 0; i < e.count(); ++i) e[i] = centre[i % D] + random.uniform(-spread, spread);
    e = rounded(e);
    const Indices expected = ref::nearest_code(e, codes);
    CAPTURE(seed);
    CHECK(search(e, codes) == expected);
    naive_errors += disagreements(naive_search(e, codes), expected);
    rows += 30;
  }
  CHECK(naive_errors > rows / 2);  // f64 decided more than half of the rows
}

TEST_CASE("nearest_code: near codes in groups, seen from close by and from far away") {
  // 80 groups of 16 near codes each in random order: candidates come and go from tile to tile. From
  // far away the error of e.c is larger than |c| alone suggests.
  for (uint64_t seed = 0; seed < 6; ++seed)
    for (double distance : {1.0, 30.0, 1000.0}) {
      CAPTURE(seed);
      CAPTURE(distance);
      Random random(300 + seed);
      const int64_t D = seed % 2 ? 8 : 64, groups = 80, K = groups * 16;
      const Array centres = random.array({groups, D});
      Array codes = ref::zeros({K, D});
      for (int64_t k = 0; k < K; ++k) {
        const int64_t group = random.index(groups);
        for (int64_t d = 0; d < D; ++d)
          codes.at(k, d) = moved(centres.at(group, d), static_cast<int>(random.index(7)) - 3);
      }
      Array e = ref::zeros({60, D});
      for (int64_t r = 0; r < 60; ++r) {
        const int64_t k = random.index(K);
        for (int64_t d = 0; d < D; ++d)
          e.at(r, d) = distance * codes.at(k, d) + random.uniform(-1e-7, 1e-7);
      }
      e = rounded(e);
      const Indices expected = ref::nearest_code(e, codes);
      CHECK(search(e, codes) == expected);
      CHECK(disagreements(naive_search(e, codes), expected) > 10);
    }
}

// The rounding errors of e, or of the codes, in a fast product can all have one sign. With r = 2^-n
// in 62 of 64 places, small enough to be rounded off the +1 and -1 there, E = e - r, codes c and -c
// of ones:
//   e.c = 62 r - 46 r = 16 r > 0, but E.c = -46 r < 0,
// so that the rounded scores are wrong by almost as much as the combined bound allows; and the same
// with the parts of e and c exchanged.
TEST_CASE("nearest_code: rounding that is as bad as it can be") {
  Array mixed = ref::zeros({2, 64}), ones = ref::filled({2, 64}, 1.0);
  const auto check_for = [&](int bits) {
    CAPTURE(bits);
    const double r = std::pow(2.0, -bits);
    for (int64_t d = 0; d < 64; ++d) {
      mixed.at(0, d) = d < 62 ? (d % 2 ? -1 : 1) + r : d == 62 ? -46 * r : 0;
      mixed.at(1, d) = -mixed.at(0, d);
      ones.at(1, d) = -1;
    }
    CHECK(search(mixed, ones) == Indices{0, 1});
    CHECK(search(ones, mixed) == Indices{0, 1});
  };
  check_for(10);  // bf16
  if (!backend_for(test_device()).info().has_tf32) return;
  const Configured fast({.tf32 = true});
  check_for(13);
}

// |c|^2 is 1 + 0.6 and 1 + 0.4 units in the last place of f32, which rounding makes 1 + 1 and 1. A
// short e brings the first code nearer by 0.3 units, which rounding loses.
TEST_CASE("nearest_code: squares of codes that are rounded apart") {
  const double unit = std::pow(2.0, -23), near = std::sqrt(0.6 * unit), far = std::sqrt(0.4 * unit);
  const Array codes = rounded({{4, 2}, {1, far, 1, near, -1, -near, -1, -far}});
  const Array e =
      rounded({{2, 2}, {0, 0.15 * unit / (near - far), 0, -0.15 * unit / (near - far)}});
  CHECK(naive_search(e, codes) == Indices{0, 3});
  CHECK(ref::nearest_code(e, codes) == Indices{1, 2});
  CHECK(search(e, codes) == Indices{1, 2});
}

TEST_CASE("nearest_code: a large common offset") {
  for (int64_t D : {1, 4, 256}) {
    Random random(400 + static_cast<uint64_t>(D));
    Array e = random.array({60, D}, 1000, 1000.01), codes = random.array({90, D}, 1000, 1000.01);
    e = rounded(e), codes = rounded(codes);
    const Indices expected = ref::nearest_code(e, codes);
    CHECK(search(e, codes) == expected);
    CHECK(disagreements(naive_search(e, codes), expected) > 30);
  }
}

}  // namespace
}  // namespace versor::testing
