// The codebook's start by k-means: Lloyd's algorithm from distinct random rows, against the
// reference step by step; clusters recovered; empty clusters end on data points, never at zero;
// nothing collapses in the steps after the start.
#include <set>

#include "tests/vq/support.h"
#include "vq/codebook.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

Array kmeans(const Array& data, int64_t codes, int iterations, uint64_t seed) {
  return to_array(versor::kmeans(to_tensor(data), codes, iterations, Rng(seed)));
}

// The row of `data` that is x, bit for bit; -1 if none.
int64_t find_row(const Array& data, const Array& x) {
  for (int64_t r = 0; r < data.dim(0); ++r)
    if (ref::row_of(data, r).data == x.data) return r;
  return -1;
}

std::set<int64_t> rows_of(const Array& centres, const Array& data) {
  std::set<int64_t> rows;
  for (int64_t k = 0; k < centres.dim(0); ++k) rows.insert(find_row(data, ref::row_of(centres, k)));
  return rows;
}

// `clusters` clouds of 30 points, 100 apart, points within 1 of their middle.   [30 clusters,D]
Array clouds(Random& random, int64_t clusters, int64_t D) {
  Array data = random.array({30 * clusters, D});
  for (int64_t r = 0; r < data.dim(0); ++r)
    data.at(r, 0) += 100.0 * static_cast<double>(r / 30 + 1);
  return rounded(data);
}

TEST_CASE("kmeans: starts from distinct rows of the data, others for other seeds") {
  Random random(1100);
  const Array data = rounded(random.array({50, 3}));
  for (uint64_t seed : {1, 2, 3}) {
    const std::set<int64_t> rows = rows_of(kmeans(data, 20, 0, seed), data);
    CHECK(rows.size() == 20);
    CHECK_FALSE(rows.contains(-1));
  }
  CHECK(kmeans(data, 20, 0, 1).data == kmeans(data, 20, 0, 1).data);
  CHECK(rows_of(kmeans(data, 20, 0, 1), data) != rows_of(kmeans(data, 20, 0, 2), data));
  CHECK(rows_of(kmeans(data, 50, 0, 1), data).size() == 50);
}

TEST_CASE("kmeans: iterations against the reference") {
  Random random(1101);
  for (int64_t D : {1, 4, 16}) {
    const Array data = rounded(random.array({300, D}));
    Array expected = kmeans(data, 6, 0, 5);
    for (int iterations = 1; iterations <= 10; ++iterations) {
      expected = ref::kmeans_step(data, expected, {});  // throws if a cluster were empty
      CHECK(ref::relative_error(kmeans(data, 6, iterations, 5), expected) <= kTolerance);
    }
    CHECK(ref::relative_error(expected, kmeans(data, 6, 0, 5)) > 0.05);
  }
}

TEST_CASE("kmeans: separated clusters are recovered") {
  Random random(1102);
  int recovered = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Array data = clouds(random, 3, 2), start = kmeans(data, 3, 0, seed);
    std::set<int64_t> clusters;
    for (int64_t k = 0; k < 3; ++k) clusters.insert(find_row(data, ref::row_of(start, k)) / 30);
    if (clusters.size() < 3) continue;  // two starting centres in one cloud: Lloyd may stay there
    ++recovered;
    const Array centres = kmeans(data, 3, 10, seed);
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t cluster = find_row(data, ref::row_of(start, k)) / 30;
      Array mean = ref::zeros({2});
      for (int64_t r = 30 * cluster; r < 30 * cluster + 30; ++r)
        for (int64_t d = 0; d < 2; ++d) mean[d] += data.at(r, d) / 30;
      CHECK(ref::relative_error(ref::row_of(centres, k), mean) <= 1e-6);
    }
  }
  CHECK(recovered >= 3);  // 6 in 27 starts hit all three
  // With more centres than clouds every cloud has one, and no centre lies between clouds.
  const Array data = clouds(random, 4, 2), centres = kmeans(data, 40, 10, 1);
  std::set<int64_t> hit;
  for (int64_t k = 0; k < 40; ++k) {
    const auto cloud = static_cast<int64_t>(std::lround(centres.at(k, 0) / 100));
    CHECK(std::abs(centres.at(k, 0) - 100.0 * static_cast<double>(cloud)) <= 1.0);
    hit.insert(cloud);
  }
  CHECK(hit == std::set<int64_t>{1, 2, 3, 4});
}

TEST_CASE("kmeans: empty clusters end on data points, never at zero") {
  // 30 rows, but only 3 different ones, ten times each: 25 starting rows include all three, and of
  // 25 centres 22 are empty in every iteration.
  Array data = ref::zeros({30, 2});
  for (int64_t r = 0; r < 30; ++r)
    for (int64_t d = 0; d < 2; ++d) data.at(r, d) = 10.0 * static_cast<double>(r % 3 + 1 + d);
  const Array points{{3, 2}, {10, 20, 20, 30, 30, 40}};
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (int iterations : {1, 2, 10}) {
      const std::set<int64_t> found = rows_of(kmeans(data, 25, iterations, seed), points);
      CHECK(found == std::set<int64_t>{0, 1, 2});
    }
  // The spare points are drawn anew each time, not always the same.
  std::set<std::vector<double>> results;
  for (uint64_t seed = 0; seed < 20; ++seed) results.insert(kmeans(data, 25, 1, seed).data);
  CHECK(results.size() > 5);
}

TEST_CASE("kmeans: more codes than rows") {
  Random random(1103);
  const Array data = rounded(random.array({5, 3}, 4, 9));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Array centres = kmeans(data, 12, 10, seed);
    CHECK(rows_of(centres, data) == std::set<int64_t>{0, 1, 2, 3, 4});
  }
  const Array single = rounded(random.array({1, 3}));
  CHECK(rows_of(kmeans(single, 4, 10, 1), single) == std::set<int64_t>{0});
  CHECK_THROWS_AS(kmeans(ref::zeros({0, 3}), 4, 10, 1), Error);
  CHECK_THROWS_AS(kmeans(ref::zeros({4}), 4, 10, 1), Error);
}

TEST_CASE("kmeans: the codebook's start sets codes and accumulators") {
  Random random(1104);
  const Array data = rounded(random.array({200, 4}, 0, 3));
  for (Accumulators accumulators : {Accumulators::warm, Accumulators::zero}) {
    Codebook book({.codes = 16, .latent = 4, .accumulators = accumulators}, Rng(6), test_device());
    const Codebook other({.codes = 16, .latent = 4}, Rng(6), test_device());
    book.start_from(to_tensor(data));
    const Array codes = to_array(book.weight().value());
    CHECK(ref::norm(codes) > 10 * ref::norm(to_array(other.weight().value())));
    // Ten iterations come close to a fixed point: one more step hardly moves the centres.
    CHECK(ref::relative_error(ref::kmeans_step(data, codes, {}), codes) < 0.05);
    const bool warm = accumulators == Accumulators::warm;
    CHECK(to_array(state_of(book, "ema_cluster_size").value()).data ==
          std::vector<double>(16, warm ? 1.0 : 0.0));
    CHECK(to_array(state_of(book, "ema_dw").value()).data ==
          (warm ? codes : ref::zeros(codes.shape)).data);
  }
  Codebook book({.codes = 16, .latent = 4}, Rng(6), test_device());
  CHECK_THROWS_AS(book.start_from(to_tensor(ref::zeros({20, 5}))), Error);
}

TEST_CASE("kmeans: two steps after the start nothing has collapsed") {
  Random random(1105);
  const Array data = rounded(random.array({160, 4}, 1, 3));
  Codebook book({.codes = 32, .latent = 4, .dead_code_fraction = 0.1}, Rng(7), test_device());
  book.start_from(to_tensor(data));
  ref::Codebook expected = ref::warm_codebook(to_array(book.weight().value()));
  for (int step = 0; step < 2; ++step) {
    const Tensor index = vq::nearest_code(to_tensor(data), book.weight().value());
    const Tensor counts = ops::bincount(index, 32);
    const Tensor replaced = update_book(book, to_tensor(data), index, counts);
    CHECK(indices_of(replaced) == Indices{0});
    expected = ref::ema_update(expected, data, indices_of(index), 0.99, 1e-5);
    CHECK(error(book.weight().value(), expected.codes) <= kTolerance);
    CHECK(vq::perplexity(counts).item() > 24);
    const Array codes = to_array(book.weight().value());
    for (double c : codes.data) CHECK((c > 0.99 && c < 3.01));  // within the data, not at zero
  }
}

}  // namespace
}  // namespace versor::testing
