// How evenly codes are used: perplexity of a batch (the paper's figure) and of a data set, usage
// with its threshold of 10 % of the uniform count.
#include "tests/vq/support.h"
#include "vq/backend.h"
#include "vq/ops.h"
#include "vq/usage.h"

namespace versor::testing {
namespace {

double batch_perplexity(const ref::Indices& counts) {
  return vq::perplexity(index_tensor(counts)).item();
}

UsageHistogram histogram_of(const ref::Indices& counts) {
  UsageHistogram histogram(static_cast<int64_t>(counts.size()));
  histogram.add(index_tensor(counts));
  return histogram;
}

TEST_CASE("perplexity: uniform use gives K, a single code 1") {
  for (int64_t K : {1, 2, 10, 1024}) {
    const ref::Indices uniform(static_cast<size_t>(K), 7);
    CHECK(batch_perplexity(uniform) == doctest::Approx(static_cast<double>(K)).epsilon(1e-6));
    CHECK(histogram_of(uniform).perplexity() ==
          doctest::Approx(static_cast<double>(K)).epsilon(1e-12));
    ref::Indices single(static_cast<size_t>(K), 0);
    single[static_cast<size_t>(K / 2)] = 8192;
    CHECK(batch_perplexity(single) == 1.0);
    CHECK(histogram_of(single).perplexity() == 1.0);
    CHECK(batch_perplexity(ref::Indices(static_cast<size_t>(K), 0)) == 1.0);  // nothing counted
    CHECK(histogram_of(ref::Indices(static_cast<size_t>(K), 0)).perplexity() == 1.0);
  }
}

TEST_CASE("perplexity: by hand and against the reference") {
  // p = 1/2, 1/4, 1/4: entropy 1.5 ln 2, perplexity 2^1.5.
  const ref::Indices counts{8, 0, 4, 4};
  CHECK(batch_perplexity(counts) == doctest::Approx(2.8284271247).epsilon(1e-6));
  CHECK(histogram_of(counts).perplexity() == doctest::Approx(2.8284271247).epsilon(1e-9));
  ref::Random random(700);
  for (int64_t K : {3, 500, 2048}) {
    const ref::Indices many = random.indices(K, 60);
    const ref::Array n{{K}, {many.begin(), many.end()}};
    CHECK(batch_perplexity(many) == doctest::Approx(ref::perplexity(n)).epsilon(1e-6));
    CHECK(histogram_of(many).perplexity() == doctest::Approx(ref::perplexity(n)).epsilon(1e-12));
    CHECK(histogram_of(many).usage() == doctest::Approx(ref::usage(n)).epsilon(1e-12));
  }
}

TEST_CASE("perplexity: one number is written, and nothing beside it") {
  Fenced y({1});
  vq_backend_for(test_device())
      .perplexity(y.view, index_tensor({1, 1, 1, 2, 2, 2}).reshape({2, 3}));
  CHECK(y.view.item() == doctest::Approx(3.0).epsilon(1e-6));
  CHECK(y.intact());
}

TEST_CASE("usage: a data set's perplexity is not the mean of its batches'") {
  UsageHistogram histogram(4);
  histogram.add(index_tensor({6, 0, 0, 0}));
  CHECK(histogram.perplexity() == 1.0);
  histogram.add(index_tensor({0, 6, 0, 0}));
  // Both batches have perplexity 1; together they use two codes evenly.
  CHECK(histogram.perplexity() == doctest::Approx(2.0).epsilon(1e-12));
  CHECK(histogram.used() == 2);
  CHECK(histogram.usage() == 0.5);
  CHECK(histogram.counts() == std::vector<int64_t>{6, 6, 0, 0});
}

TEST_CASE("usage: codes with at least 10 % of the uniform count") {
  // 1,000 counted over 10 codes: uniform is 100, the border 10.
  const UsageHistogram histogram = histogram_of({10, 9, 11, 0, 1, 500, 469, 0, 0, 0});
  CHECK(histogram.usage() == doctest::Approx(0.4).epsilon(1e-12));
  CHECK(histogram.used() == 6);
  // The border itself is included, for every size of K and n.
  for (int64_t K = 2; K < 60; ++K)
    for (int64_t n : {1, 3, 7, 49}) {
      ref::Indices counts(static_cast<size_t>(K), 0);
      counts[0] = n;
      counts[1] = 10 * n * K - n;
      CHECK(histogram_of(counts).usage() ==
            doctest::Approx(2.0 / static_cast<double>(K)).epsilon(1e-12));
      --counts[0], ++counts[1];
      CHECK(histogram_of(counts).usage() ==
            doctest::Approx(1.0 / static_cast<double>(K)).epsilon(1e-12));
    }
  CHECK(histogram_of({0, 0, 0}).usage() == 0.0);
  CHECK(histogram_of({0, 0, 0}).used() == 0);
}

TEST_CASE("usage: counts beyond 32 bits add up; a wrong number of codes is an error") {
  UsageHistogram histogram(2);
  for (int i = 0; i < 3; ++i) histogram.add(index_tensor({2'000'000'000, 1}));
  CHECK(histogram.counts()[0] == 6'000'000'000);
  const std::string message = error_of([&] { histogram.add(index_tensor({1, 2, 3})); });
  CHECK(contains(message, "[usage]"));
  CHECK(contains(message, "[3]"));
  CHECK_THROWS_AS(vq::perplexity(to_tensor(ref::zeros({3}))), Error);
}

TEST_CASE("usage: several symbols by hand") {
  UsageHistogram histogram(Vocabulary(2, 4));
  // First symbol: 4 codes evenly, 2 bits each. Second: 1/2, 1/4, 1/4: 1.5 bits.
  histogram.add(index_tensor({1, 1, 1, 1, 2, 0, 1, 1}).reshape({2, 4}));
  histogram.add(index_tensor({3, 3, 3, 3, 6, 0, 3, 3}).reshape({2, 4}));
  CHECK(histogram.counts() == std::vector<int64_t>{4, 4, 4, 4, 8, 0, 4, 4});
  CHECK(histogram.entropy_bits() == doctest::Approx(16 * 2 + 16 * 1.5).epsilon(1e-12));
  CHECK(histogram.nominal_bits() == doctest::Approx(32 * 2).epsilon(1e-12));
  CHECK(histogram.perplexity() == doctest::Approx(std::pow(2, (2 + 1.5) / 2)).epsilon(1e-12));
  CHECK(histogram.used() == 7);
  CHECK(histogram.usage() == doctest::Approx(7.0 / 8).epsilon(1e-12));

  // Symbols that dropout left out cost nothing: 16 and 4 vectors of log2 4 bits.
  UsageHistogram uneven(Vocabulary(2, 4));
  uneven.add(index_tensor({16, 0, 0, 0, 0, 4, 0, 0}).reshape({2, 4}));
  CHECK(uneven.nominal_bits() == doctest::Approx(40).epsilon(1e-12));
  CHECK(uneven.entropy_bits() == 0.0);
  CHECK(uneven.perplexity() == 1.0);
  // The 10 % border is computed per symbol: 0.4 and 0.1.
  UsageHistogram border(Vocabulary(2, 4));
  border.add(index_tensor({16, 0, 0, 0, 3, 1, 0, 0}).reshape({2, 4}));
  CHECK(border.usage() == doctest::Approx(3.0 / 8).epsilon(1e-12));
  // The 1,000 counts of one symbol must not hide 1 of 4 in the other.
  border.add(index_tensor({984, 0, 0, 0, 0, 0, 0, 0}).reshape({2, 4}));
  CHECK(border.usage() == doctest::Approx(3.0 / 8).epsilon(1e-12));
  CHECK_THROWS_AS(border.add(index_tensor({1, 2, 3, 4})), Error);
}

// A layer that dropout left out is unused, which is not the same as used badly.
TEST_CASE("perplexity, usage: symbols without a count are not part of the mean") {
  struct Case {
    int64_t symbols;
    ref::Indices counts;
    double perplexity, usage;
  };
  const Case cases[] = {
      {2, {5, 5, 5, 5, 0, 0, 0, 0}, 4, 1},                    // the second left out
      {2, {0, 0, 0, 0, 3, 3, 0, 0}, 2, 0.5},                  // the first
      {3, {5, 5, 5, 5, 0, 0, 0, 0, 9, 0, 0, 0}, 2, 5.0 / 8},  // sqrt(4 * 1)
      {3, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 0},
  };
  for (const auto& [symbols, counts, perplexity, usage] : cases) {
    const Tensor n = index_tensor(counts).reshape({symbols, 4});
    CHECK(vq::perplexity(n).item() == doctest::Approx(perplexity).epsilon(1e-6));
    UsageHistogram histogram(Vocabulary(symbols, 4));
    histogram.add(n);
    CHECK(histogram.perplexity() == doctest::Approx(perplexity).epsilon(1e-12));
    CHECK(histogram.usage() == doctest::Approx(usage).epsilon(1e-12));
  }
  // More codes than a block of the GPU has threads.
  ref::Indices wide(3 * 2500, 0);
  for (size_t k = 0; k < 2500; ++k) wide[k] = wide[5000 + k] = 1;
  CHECK(vq::perplexity(index_tensor(wide).reshape({3, 2500})).item() ==
        doctest::Approx(2500.0).epsilon(1e-6));
}

}  // namespace
}  // namespace versor::testing
