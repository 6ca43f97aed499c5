// The fixed grids by hand: levels, bits and their order, reachable points, and how the usage losses
// judge known usage. Read before: test_family_gradients.cpp.
#include <set>

#include "tests/reference_family.h"
#include "tests/vq/support.h"
#include "vq/fsq.h"
#include "vq/lfq.h"
#include "vq/losses.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

using Levels = std::vector<int64_t>;
const Levels kLevels[] = {{2}, {3}, {8, 5, 5, 5}, {4, 4, 4}, {3, 2}, {7, 2, 6}, {256, 3}};

FiniteScalarQuantizer fsq(const Levels& levels) {
  return {levels, Estimator::ste, Rng(1), test_device()};
}

SignQuantizer signs(int64_t bits, bool spherical = false) {
  return {{.bits = bits, .spherical = spherical}, Estimator::ste, Rng(1), test_device()};
}

Indices symbols_of(Quantizer& quantizer, const Array& z) {
  return indices_of(quantizer(Variable(to_tensor(z)), false).index);
}

// 0, 1, .. K-1 as i32 [1,K].
Tensor every_index(int64_t K) {
  Indices all(static_cast<size_t>(K));
  std::iota(all.begin(), all.end(), 0);
  return index_tensor(all).reshape({1, K});
}

std::set<std::vector<double>> distinct_rows(const Array& x) {
  std::set<std::vector<double>> rows;
  for (int64_t r = 0; r < x.dim(0); ++r) rows.insert(ref::row_of(x, r).data);
  return rows;
}

TEST_CASE("fsq: codes are all combinations of levels, numbered with the first fastest") {
  for (const Levels& levels : kLevels) {
    CAPTURE(levels.size());
    const FiniteScalarQuantizer quantizer = fsq(levels);
    const int64_t K = quantizer.vocabulary().codes;
    CHECK(K == std::accumulate(levels.begin(), levels.end(), int64_t{1}, std::multiplies<>()));
    const Array points = to_array(quantizer.decode(every_index(K)));
    CHECK(distinct_rows(points).size() == static_cast<size_t>(K));
    // index = sum of j_i l_0 .. l_(i-1), from the point that it stands for: its levels are the
    // integers -floor(l/2) + j over floor(l/2), or -1 and 1
    for (int64_t k = 0; k < K; ++k) {
      int64_t index = 0, step = 1;
      for (size_t i = 0; i < levels.size(); ++i) {
        const auto half = static_cast<double>(levels[i] / 2), distance = levels[i] == 2 ? 2.0 : 1.0;
        const double j = (points.at(k, static_cast<int64_t>(i)) + 1) * half / distance;
        CHECK(j == doctest::Approx(std::round(j)).epsilon(1e-6));
        CHECK((j >= -1e-6 && j <= static_cast<double>(levels[i] - 1) + 1e-6));
        index += std::lround(j) * step;
        step *= levels[i];
      }
      CHECK(index == k);
    }
  }
}

TEST_CASE("fsq: by hand") {
  // Levels of 8: -4..3 over 4; of 5: -2..2 over 2; of 2: -1 and 1.
  FiniteScalarQuantizer quantizer = fsq({8, 5, 2});
  const Array points = to_array(quantizer.decode(index_tensor({0, 7, 8, 40, 79}).reshape({1, 5})));
  CHECK(points.data == std::vector<double>{-1, -1, -1, 0.75, -1, -1, -1, -0.5, -1,  //
                                           -1, -1, 1, 0.75, 1, 1});
  // Zero is a level if there are more than two, and the threshold between two: 4 + 2 * 8 + 0 * 40.
  CHECK(symbols_of(quantizer, {{1, 3}, {0, 0, 0}}) == Indices{20});
  CHECK(to_array(quantizer.decode(index_tensor({20}).reshape({1, 1}))).data ==
        std::vector<double>{0, 0, -1});
}

TEST_CASE("fsq: two levels are the sign, alone and beside others") {
  for (const Levels& levels : {Levels{2}, Levels{2, 3, 5}, Levels{8, 2}, Levels{2, 2, 2}}) {
    const auto d = static_cast<int64_t>(levels.size());
    for (int64_t i = 0; i < d; ++i) {
      if (levels[static_cast<size_t>(i)] != 2) continue;
      FiniteScalarQuantizer quantizer = fsq(levels);
      const std::vector<double> at = {-9, -0.5, -1e-3, 0, 1e-3, 0.5, 9};
      Array z = ref::zeros({7, d});
      for (int64_t r = 0; r < 7; ++r) z.at(r, i) = at[static_cast<size_t>(r)];
      const Variable leaf(to_tensor(z), true);
      const Quantized out = quantizer(leaf, true);
      const Array codes = to_array(out.codes);
      backward(sum(out.value));
      for (int64_t r = 0; r < 7; ++r) {
        CHECK(codes.at(r, i) == (z.at(r, i) > 0 ? 1 : -1));
        // 1 - tanh^2: the gradient is largest at the threshold.
        const double slope = 1 - std::pow(std::tanh(z.at(r, i)), 2);
        CHECK(to_array(leaf.grad()).at(r, i) == doctest::Approx(slope).epsilon(1e-5).scale(0.01));
      }
      // Latents around 0 use both levels equally.
      const Tensor normal = ops::normal({20000, d}, Rng(3), test_device());
      const Array used = to_array(quantizer(Variable(normal), false).codes);
      int64_t above = 0;
      for (int64_t r = 0; r < 20000; ++r) above += used.at(r, i) > 0;
      CHECK(std::abs(above - 10000) < 300);  // 4 standard deviations
    }
  }
}

TEST_CASE("fsq: every level is reached, the outermost from far away") {
  for (const Levels& levels : kLevels) {
    FiniteScalarQuantizer quantizer = fsq(levels);
    const auto d = static_cast<int64_t>(levels.size());
    for (int64_t i = 0; i < d; ++i) {
      const int64_t l = levels[static_cast<size_t>(i)], steps = 8 * l + 64;
      // One dimension sweeps from -7 to 7, slowly around 0, the others stay at 0.
      Array sweep = ref::zeros({steps + 1, d});
      for (int64_t r = 0; r <= steps; ++r)
        sweep.at(r, i) =
            std::atanh((1 - 1e-6) * (2 * static_cast<double>(r) / static_cast<double>(steps) - 1));
      const Array codes = to_array(quantizer(Variable(to_tensor(sweep)), false).codes);
      std::set<double> seen;
      for (int64_t r = 0; r <= steps; ++r) {
        seen.insert(codes.at(r, i));
        if (r > 0) CHECK(codes.at(r, i) >= codes.at(r - 1, i));  // in their order
        for (int64_t j = 0; j < d; ++j)
          if (j != i) CHECK(codes.at(r, j) == (levels[static_cast<size_t>(j)] == 2 ? -1 : 0));
      }
      CHECK(seen.size() == static_cast<size_t>(l));
      CHECK(*seen.begin() == -1);
      const double highest = static_cast<double>(l - 1 - l / 2) / static_cast<double>(l / 2);
      CHECK(*seen.rbegin() == doctest::Approx(l == 2 ? 1 : highest));
    }
    for (float far : {1e3f, 1e30f}) {
      const Array extremes{{2, d}, std::vector<double>(static_cast<size_t>(2 * d), far)};
      Array both = extremes;
      for (int64_t j = 0; j < d; ++j) both.at(0, j) = -far;
      CHECK(symbols_of(quantizer, both) == Indices{0, quantizer.vocabulary().codes - 1});
    }
  }
}

TEST_CASE("fsq: bounded() is the formula, and 0 stays 0") {
  ref::Random random(1200);
  for (const Levels& levels : kLevels) {
    const FiniteScalarQuantizer quantizer = fsq(levels);
    const auto d = static_cast<int64_t>(levels.size());
    const Array z = rounded(random.array({37, d}, -3, 3));
    CHECK(error(quantizer.bounded(Variable(to_tensor(z))).value(), ref::fsq_bounded(z, levels)) <=
          kTolerance);
    const Array zero = to_array(quantizer.bounded(Variable(to_tensor(ref::zeros({1, d})))).value());
    for (double b : zero.data) CHECK(std::abs(b) <= 1e-6);
    // The nearest point of the grid is the nearest level in each dimension separately.
    const Array b = ref::fsq_bounded(z, levels);
    Array expected = b;
    for (int64_t r = 0; r < 37; ++r)
      for (int64_t j = 0; j < d; ++j) {
        const auto half = static_cast<double>(levels[static_cast<size_t>(j)] / 2);
        expected.at(r, j) = levels[static_cast<size_t>(j)] == 2
                                ? (b.at(r, j) > 0 ? 1 : -1)
                                : std::round(b.at(r, j) * half) / half;
      }
    FiniteScalarQuantizer rounding = fsq(levels);
    CHECK(error(rounding(Variable(to_tensor(z)), false).value.value(), expected) <= 1e-6);
  }
}

TEST_CASE("lfq, bsq: the index is the number that the signs write, the first the highest bit") {
  for (bool spherical : {false, true})
    for (int64_t bits : {1, 3, 5}) {
      CAPTURE(bits);
      SignQuantizer quantizer = signs(bits, spherical);
      const int64_t K = int64_t{1} << bits;
      CHECK(quantizer.vocabulary().codes == K);
      const double length = spherical ? 1 / std::sqrt(static_cast<double>(bits)) : 1.0;
      const Array corners = to_array(quantizer.decode(every_index(K)));
      CHECK(ref::relative_error(corners, ref::sign_corners(bits, length)) <= 1e-7);
      CHECK(distinct_rows(corners).size() == static_cast<size_t>(K));
      for (int64_t k = 0; k < K && spherical; ++k)
        CHECK(ref::norm(ref::row_of(corners, k)) == doctest::Approx(1.0).epsilon(1e-6));

      ref::Random random(1201);
      const Array e = random.away_from_zero({50, bits});
      Indices expected;
      for (int64_t r = 0; r < 50; ++r) {
        int64_t index = 0;
        for (int64_t i = 0; i < bits; ++i) index = 2 * index + (e.at(r, i) > 0);
        expected.push_back(index);
      }
      CHECK(symbols_of(quantizer, e) == expected);
      // Only the signs count, not how long the row is.
      for (double size : {1e-4, 100.0})
        CHECK(symbols_of(quantizer, ref::scale(e, size)) == expected);
    }
}

// The f64 distance to the grid, as the exact search computes it: what rounding loses makes ties,
// too.
TEST_CASE("fsq: rounding gives the search's index, and writes nothing beside it") {
  ref::Random random(904);
  for (const Levels& levels : kLevels) {
    CAPTURE(levels.size());
    const Tensor grid = fsq(levels).grid();
    const Array points = to_array(grid);
    const auto d = static_cast<int64_t>(levels.size()), K = grid.dim(0);
    const Tensor counts = index_tensor({levels.begin(), levels.end()});
    const auto check_rows = [&](const Array& rows) {
      const Fenced z(rows), of_levels(counts), of_grid(grid);
      Fenced index({rows.dim(0)}, DType::i32);
      vq_backend_for(test_device()).grid_code(index.view, z.view, of_grid.view, of_levels.view);
      CHECK(indices_of(index.view) == indices_of(vq::nearest_code(z.view, grid)));
      CHECK((index.intact() && z.intact() && of_levels.intact() && of_grid.intact()));
    };
    for (int64_t R : {0, 1, 257}) check_rows(random.array({R, d}, -1.2, 1.2));
    // On points and halfway between two, in some dimensions or all; then slightly off.
    Array ties = ref::zeros({400, d});
    for (int64_t r = 0; r < 400; ++r) {
      const int64_t a = random.index(K), b = random.index(K);
      for (int64_t i = 0; i < d; ++i)
        ties.at(r, i) =
            (points.at(a, i) + points.at(b, i)) / 2 + (r < 200 ? 0 : random.uniform(-1e-7, 1e-7));
    }
    check_rows(rounded(ties));
    // Beside 1e8 or 1e30 the other dimensions are lost; beside a level, 1e-30 is.
    const double values[] = {0,    -0.0, 1e-30, -1e-30, 1e-9,  0.3,      -0.3,      7,
                             -1e4, 1e8,  -1e8,  1e30,   -1e30, HUGE_VAL, -HUGE_VAL, std::nan("")};
    Array extremes = ref::zeros({600, d});
    for (double& x : extremes.data) x = values[random.index(std::size(values))];
    check_rows(extremes);
  }
  const Tensor two = to_tensor(ref::zeros({5, 2})), three = to_tensor(ref::zeros({6, 3}));
  const std::string message = error_of([&] { vq::grid_code(two, three, index_tensor({3, 2, 1})); });
  CHECK(contains(message, "[grid_code]"));
  CHECK(contains(message, "[5,2]"));
  CHECK(contains(message, "[6,3]"));
  CHECK(contains(error_of([&] { vq::grid_code(two, two, index_tensor({5})); }), "[1]"));
}

TEST_CASE("lfq: the signs name the corner that a search finds, and nothing is written beside it") {
  ref::Random random(903);
  for (int64_t R : {0, 1, 255, 257})
    for (int64_t d : {1, 2, 10, 16}) {
      if (d == 16 && R > 1) continue;  // 65,536 corners to search
      const Fenced z(random.array({R, d}));
      Fenced index({R}, DType::i32);
      vq_backend_for(test_device()).sign_code(index.view, z.view);
      const Tensor corners = to_tensor(ref::sign_corners(d, 1));
      CHECK(indices_of(index.view) == indices_of(vq::nearest_code(z.view, corners)));
      CHECK((index.intact() && z.intact()));
    }
  const double nan = std::nan(""), inf = HUGE_VAL;
  const Array edges{{4, 3}, {-0.0, 1e-30, 0, inf, -inf, 1, nan, 1, 1, 1, 1, nan}};
  CHECK(indices_of(vq::sign_code(to_tensor(edges))) == Indices{2, 5, 0, 0});
  CHECK(contains(error_of([] { vq::sign_code(to_tensor(ref::zeros({2, 17}))); }), "1 to 16"));
}

TEST_CASE("lfq, bsq: a dimension that is 0 becomes -1") {
  for (bool spherical : {false, true}) {
    SignQuantizer quantizer = signs(3, spherical);
    CHECK(symbols_of(quantizer, {{4, 3}, {0, 0, 0, 0, 1, 0, 1, 0, 0, -1, 0, 1}}) ==
          Indices{0, 2, 4, 1});
  }
}

TEST_CASE("lfq, bsq: which losses there are") {
  const Variable e(to_tensor(ref::Random(1203).array({9, 4})), true);
  const Quantized lfq = signs(4)(e, true), bsq = signs(4, true)(e, true);
  CHECK_FALSE(lfq.codebook_loss.defined());
  CHECK(lfq.commitment_loss.defined());
  CHECK_FALSE(bsq.codebook_loss.defined());
  CHECK_FALSE(bsq.commitment_loss.defined());
  CHECK((lfq.auxiliary_loss.defined() && bsq.auxiliary_loss.defined()));
  CHECK_FALSE(signs(4)(e, false).auxiliary_loss.defined());
  SignQuantizer without({.bits = 4, .entropy_weight = 0}, Estimator::ste, Rng(1), test_device());
  CHECK_FALSE(without(e, true).auxiliary_loss.defined());
}

TEST_CASE("lfq, bsq: the entropy loss is that of a softmax over all corners") {
  constexpr double t = 0.5;
  for (bool spherical : {false, true})
    for (int64_t bits : {1, 2, 3, 5}) {
      CAPTURE(spherical);
      CAPTURE(bits);
      for (double gamma : {0.0, 1.0, 2.5}) {
        SignQuantizer quantizer({.bits = bits,
                                 .spherical = spherical,
                                 .entropy_weight = 0.5,
                                 .gamma = gamma,
                                 .temperature = t},
                                Estimator::ste, Rng(1), test_device());
        const Array corners = to_array(quantizer.corners());
        const Array x = rounded(ref::Random(1204).array({7, bits}));
        const auto loss = [&](const Array& e) {
          const Array z = spherical ? ref::unit_rows(e) : e;
          return ref::scalar(0.5 *
                             ref::entropy_loss(ref::code_probabilities(z, corners, t), gamma));
        };
        const Variable e(to_tensor(x), true);
        const Variable ours = quantizer(e, true).auxiliary_loss;
        CHECK(ours.item() == doctest::Approx(loss(x)[0]).epsilon(1e-5).scale(0.1));
        backward(ours);
        CHECK(error(e.grad(), ref::finite_difference(loss, x, ref::scalar(1))) <= kTolerance);
      }
    }
}

double value_of(const Variable& loss) {
  return loss.item();
}

TEST_CASE("losses: uses of codes that are known") {
  constexpr double ln4 = 1.3862943611;
  const Variable even(to_tensor(ref::filled({3, 4}, 0.25)));  // no row is sure
  Array one = ref::zeros({4, 4}), each = ref::zeros({4, 4});
  for (int64_t r = 0; r < 4; ++r) one.at(r, 2) = each.at(r, r) = 1;
  const Variable same(to_tensor(one)), all(to_tensor(each));  // sure of one code; each of its own

  CHECK(to_array(entropy(even).value()).data[1] == doctest::Approx(ln4).epsilon(1e-6));
  for (double h : to_array(entropy(all).value()).data) CHECK(h == 0.0);
  for (double gamma : {0.0, 1.0, 2.5}) {
    CAPTURE(gamma);
    CHECK(value_of(entropy_loss(even, gamma)) == doctest::Approx((1 - gamma) * ln4).epsilon(1e-6));
    CHECK(value_of(entropy_loss(same, gamma)) == 0.0);
    CHECK(value_of(entropy_loss(all, gamma)) == doctest::Approx(-gamma * ln4).epsilon(1e-6));
  }
  CHECK(std::abs(value_of(diversity_loss(even))) <= 1e-6);
  CHECK(std::abs(value_of(diversity_loss(all))) <= 1e-6);
  CHECK(value_of(diversity_loss(same)) == doctest::Approx(ln4).epsilon(1e-6));

  // Orthogonal codes of any length: 0. All along one line: 1 - 1/K.
  CHECK(std::abs(value_of(orthogonality_loss(Variable(to_tensor({{2, 2}, {3, 0, 0, -5}}))))) <=
        1e-6);
  CHECK(value_of(orthogonality_loss(Variable(to_tensor({{4, 1}, {1, -2, 3, 4}})))) ==
        doctest::Approx(0.75).epsilon(1e-6));
}

TEST_CASE("losses: gradients against central differences") {
  ref::Random random(1202);
  const Array p = rounded(ref::softmax(random.array({5, 6}, -2, 2)));
  const Array codes = rounded(random.array({5, 3}));
  const auto check = [](const Array& x, auto ours, auto reference) {
    const Variable leaf(to_tensor(x), true);
    const Variable loss = ours(leaf);
    CHECK(loss.item() == doctest::Approx(reference(x)).epsilon(1e-5));
    backward(loss);
    const auto f = [&](const Array& moved) { return ref::scalar(reference(moved)); };
    CHECK(error(leaf.grad(), ref::finite_difference(f, x, ref::scalar(1))) <= kTolerance);
  };
  for (double gamma : {0.0, 1.0, 2.5})
    check(
        p, [=](const Variable& x) { return entropy_loss(x, gamma); },
        [=](const Array& x) { return ref::entropy_loss(x, gamma); });
  check(
      p, [](const Variable& x) { return diversity_loss(x); },
      [](const Array& x) { return ref::diversity_loss(x); });
  for (const Array& more_or_fewer : {codes, rounded(random.array({3, 5}))})  // than dimensions
    check(
        more_or_fewer, [](const Variable& x) { return orthogonality_loss(x); },
        [](const Array& x) { return ref::orthogonality_loss(x); });
  // A probability of exactly 0 gives no NaN.
  const Variable edge(to_tensor({{1, 3}, {0, 0.5, 0.5}}), true);
  backward(entropy_loss(edge, 1));
  CHECK(all_finite(edge.grad()));
}

TEST_CASE("losses: the codes' orthogonality takes no number for every pair of codes") {
  const Variable codes(to_tensor(ref::Random(1205).array({4096, 3})), true);
  MemoryPool& pool = backend_for(test_device()).pool();
  const size_t before = pool.current_bytes();
  pool.reset_peak();
  backward(orthogonality_loss(codes));
  CHECK(pool.peak_bytes() - before < sizeof(float) * 4096 * 4096 / 16);
}

TEST_CASE("perplexity: of several symbols the geometric mean, K where all are used evenly") {
  for (int64_t L : {1, 3})
    for (int64_t K : {2, 10}) {
      const Tensor counts = index_tensor(Indices(static_cast<size_t>(L * K), 7)).reshape({L, K});
      CHECK(vq::perplexity(counts).item() == doctest::Approx(static_cast<double>(K)).epsilon(1e-6));
    }
  // 4 codes evenly, 1 code alone: sqrt(4 * 1).
  const Tensor counts = index_tensor({5, 5, 5, 5, 0, 9, 0, 0}).reshape({2, 4});
  CHECK(vq::perplexity(counts).item() == doctest::Approx(2.0).epsilon(1e-6));
}

}  // namespace
}  // namespace versor::testing
