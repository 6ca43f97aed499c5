// Dead codes: a code whose N falls below a fraction of the uniform (sum N)/K becomes a distinct
// random row of the batch, with N = (sum N)/K and m = N c. Surviving codes keep every bit.
#include <set>

#include "tests/vq/support.h"
#include "vq/backend.h"
#include "vq/codebook.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

// A codebook with given N; m differs from N c, to show what is overwritten.
struct Book {
  Tensor codes, N, m, rows;
  int64_t K, R;

  Book(const std::vector<double>& sizes, int64_t batch, int64_t D = 3)
      : K(static_cast<int64_t>(sizes.size())), R(batch) {
    Random random(1000);
    codes = to_tensor(random.array({K, D}, 10, 20));
    m = to_tensor(random.array({K, D}, 30, 40));
    N = to_tensor({{K}, sizes});
    rows = to_tensor(random.array({R, D}));
  }
  int replace(double fraction, Rng rng, int32_t update = 0, const Tensor& guard = {}) {
    const Tensor candidates =
        vq::draw_rows(rows, std::min(K, R), 0, R, index_tensor({update}), rng);
    return vq::replace_dead_codes(codes, N, m, candidates, guard, fraction).to_vector<int32_t>()[0];
  }
  // Which row of the batch code k is, bit for bit; -1 if none.
  int64_t row_of_code(int64_t k) const {
    const Array code = ref::row_of(to_array(codes), k), all = to_array(rows);
    for (int64_t r = 0; r < R; ++r)
      if (ref::row_of(all, r).data == code.data) return r;
    return -1;
  }
  std::string bits(int64_t k) const {
    return bits_of(codes.rows(k, k + 1)) + bits_of(N.rows(k, k + 1)) + bits_of(m.rows(k, k + 1));
  }
};

TEST_CASE("dead codes: below the threshold replaced, N and m set, survivors untouched") {
  // sum N = 12, uniform = 2, threshold at 0.1: 0.2.
  Book book({5, 0.1, 3, 0, 3.75, 0.15}, 20);
  const Book before = Book({5, 0.1, 3, 0, 3.75, 0.15}, 20);
  CHECK(book.replace(0.1, Rng(1)) == 3);
  std::set<int64_t> rows;
  for (int64_t k : {1, 3, 5}) {
    CAPTURE(k);
    const int64_t row = book.row_of_code(k);
    CHECK(row >= 0);
    rows.insert(row);
    // The sum is taken before any replacement, so all three get the same N.
    CHECK(to_array(book.N)[k] == doctest::Approx(2.0).epsilon(1e-6));
    const Array expected = ref::scale(ref::row_of(to_array(book.codes), k), to_array(book.N)[k]);
    CHECK(ref::relative_error(ref::row_of(to_array(book.m), k), expected) <= 1e-6);
  }
  CHECK(rows.size() == 3);  // distinct rows
  for (int64_t k : {0, 2, 4}) CHECK((book.bits(k) == before.bits(k)));
}

// The i-th dead code takes the row at position i of the update's random order.
TEST_CASE("dead codes: the rows follow from seed, number of the update and order of the codes") {
  for (int32_t update : {0, 1, 77, 1'000'000}) {
    CAPTURE(update);
    Book book({5, 0.1, 3, 0, 3.75, 0.15}, 20);
    CHECK(book.replace(0.1, Rng(1), update) == 3);
    const Rng rng = Rng(1).split(static_cast<uint64_t>(update));
    uint32_t i = 0;
    for (int64_t k : {1, 3, 5}) CHECK(book.row_of_code(k) == rng.permute(i++, 20));
  }
}

// More codes than a GPU's block has threads, with dead ones in every warp of it.
TEST_CASE("dead codes: numbered in the order of the codes, however many there are") {
  constexpr int64_t kCodes = 2100, kRows = 200;
  std::vector<double> sizes(kCodes, 1.0);
  for (int64_t k = 5; k < kCodes; k += 13) sizes[static_cast<size_t>(k)] = 0;
  Book book(sizes, kRows);
  CHECK(book.replace(0.1, Rng(6), 3) == 162);
  const Array codes = to_array(book.codes), rows = to_array(book.rows);
  const Rng rng = Rng(6).split(3);
  uint32_t i = 0;
  for (int64_t k = 5; k < kCodes; k += 13)
    CHECK(ref::row_of(codes, k).data == ref::row_of(rows, rng.permute(i++, kRows)).data);
}

TEST_CASE("dead codes: nothing is replaced once the guard has found something") {
  const std::vector<double> sizes{5, 0.1, 3, 0, 3.75, 0.15};
  Book book(sizes, 20);
  const Book before(sizes, 20);
  CHECK(book.replace(0.1, Rng(1), 0, index_tensor({3, 1})) == 0);
  for (int64_t k = 0; k < 6; ++k) CHECK((book.bits(k) == before.bits(k)));
  CHECK(book.replace(0.1, Rng(1), 0, ops::new_guard(test_device())) == 3);
}

TEST_CASE("dead codes: the threshold itself survives; fraction 0 is off") {
  // sum N = 4, uniform = 1: with fraction 0.5 a code dies below 0.5.
  Book at({0.5, 1.5, 1, 1}, 5);
  CHECK(at.replace(0.5, Rng(2)) == 0);
  Book below({0.499, 1.5, 1, 1}, 5);
  CHECK(below.replace(0.5, Rng(2)) == 1);
  CHECK(below.row_of_code(0) >= 0);
  Book off({0, 1, 0, 3}, 5);
  CHECK(off.replace(0.0, Rng(2)) == 0);
  CHECK(off.row_of_code(0) == -1);

  // Through the codebook: with 0 nothing is replaced, and nothing is reported.
  for (double fraction : {0.0, 0.5}) {
    Codebook book({.codes = 3, .latent = 2, .decay = 0, .dead_code_fraction = fraction}, Rng(3),
                  test_device());
    const Tensor e = to_tensor({{4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}}),
                 index = index_tensor({0, 0, 0, 1});
    const Tensor replaced = update_book(book, e, index, ops::bincount(index, 3));
    CHECK(replaced.defined() == (fraction > 0));
    const Array code = ref::row_of(to_array(book.weight().value()), 2);
    CHECK((ref::norm(code) > 1) == (fraction > 0));
    if (replaced.defined()) CHECK(indices_of(replaced) == Indices{1});
  }
}

TEST_CASE("dead codes: more of them than rows, every row is used once") {
  Book book({9, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 3);
  const Book before = Book({9, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 3);
  CHECK(book.replace(0.1, Rng(4)) == 3);
  std::set<int64_t> rows;
  int replaced = 0;
  for (int64_t k = 0; k < 10; ++k) {
    const int64_t row = book.row_of_code(k);
    if (row < 0) {
      CHECK((book.bits(k) == before.bits(k)));
      continue;
    }
    rows.insert(row);
    ++replaced;
    CHECK(to_array(book.N)[k] == doctest::Approx(1.8).epsilon(1e-6));
  }
  CHECK(replaced == 3);
  CHECK(rows == std::set<int64_t>{0, 1, 2});
}

TEST_CASE("dead codes: every row can be drawn, evenly") {
  std::vector<int> drawn(5, 0);
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Book book({1, 0, 1}, 5);
    CHECK(book.replace(0.1, Rng(seed)) == 1);
    ++drawn[static_cast<size_t>(book.row_of_code(1))];
  }
  // 100 expected, standard deviation 9.
  for (int n : drawn) CHECK((n > 60 && n < 140));
}

TEST_CASE("dead codes: a replaced code survives the next EMA step") {
  Codebook book({.codes = 4, .latent = 3, .dead_code_fraction = 0.5}, Rng(5), test_device());
  Tensor& N = state_of(book, "ema_cluster_size").mutable_value();
  N.copy_from_host(std::vector<float>{6, 0.1f, 6, 6}.data());
  Random random(1001);
  const Array e = rounded(random.array({8, 3}, 1, 2));
  const Tensor index = index_tensor({0, 0, 0, 2, 2, 3, 3, 3});
  const Tensor counts = ops::bincount(index, 4);
  CHECK(indices_of(update_book(book, to_tensor(e), index, counts)) == Indices{1});
  const Array born = ref::row_of(to_array(book.weight().value()), 1);
  CHECK(indices_of(update_book(book, to_tensor(e), index, counts)) == Indices{0});
  // Not used by this batch, yet it stays where it is (up to the smoothing).
  const Array next = ref::row_of(to_array(book.weight().value()), 1);
  CHECK(ref::relative_error(next, born) <= 2e-5);
  CHECK(to_array(N)[1] == doctest::Approx(0.99 * (0.99 * 18.1 + 0.08) / 4).epsilon(1e-5));
}

TEST_CASE("dead codes: drawn by seed and number of the update alone") {
  Random random(1002);
  const Tensor e = to_tensor(random.array({400, 2})), index = index_tensor(Indices(400, 0));
  const Tensor counts = ops::bincount(index, 6);
  const CodebookOptions options{.codes = 6, .latent = 2, .decay = 0, .dead_code_fraction = 0.5};
  const auto after = [&](uint64_t seed, int64_t first, int steps) {
    Codebook book(options, Rng(seed), test_device());
    Tensor counter = book.update_counter();
    ops::copy(counter, index_tensor({first}));
    for (int i = 0; i < steps; ++i) update_book(book, e, index, counts);
    CHECK(indices_of(book.update_counter()) == Indices{first + steps});
    return state_bits(book);
  };
  CHECK(after(1, 0, 1) == after(1, 0, 1));
  CHECK(after(1, 0, 1) != after(2, 0, 1));
  CHECK(after(1, 0, 1) != after(1, 1, 1));
  // With decay 0 an update's result depends only on its number: step 2 of a run resumed there.
  CHECK(after(1, 0, 3) == after(1, 2, 1));
}

TEST_CASE("dead codes: nothing is written beside the tensors") {
  Random random(1003);
  Fenced c(ref::filled({5, 4}, 7)), m(ref::filled({5, 4}, 7)), N(ref::Array{{5}, {0, 2, 2, 2, 0}});
  Fenced replaced({1}, DType::i32);
  Fenced e(random.array({9, 4})), update(index_tensor({4})), rows({5, 4});
  VqBackend& backend = vq_backend_for(test_device());
  backend.draw_rows(rows.view, e.view, 3, 20, update.view, Rng(1));
  backend.replace_dead_codes(c.view, N.view, m.view, replaced.view, rows.view, {}, 0.1);
  CHECK(indices_of(replaced.view) == Indices{2});
  for (const Fenced* part : {&c, &N, &m, &replaced, &rows, &e, &update}) CHECK(part->intact());
  const Tensor narrow = to_tensor(random.array({9, 3}));
  CHECK_THROWS_AS(vq::replace_dead_codes(c.view, N.view, m.view, narrow, {}, 0.1), Error);
  CHECK(contains(
      error_of([&] { vq::replace_dead_codes(c.view, N.view, m.view, e.view, update.view, 0.1); }),
      "a guard has the shape [2], not [1]"));
}

// Each of several processes or micro-batches holds some of the rows; what they draw adds up.
TEST_CASE("dead codes: rows drawn from the parts of a batch add up to those of the batch") {
  Random random(1004);
  const Tensor all = to_tensor(random.array({23, 3})), draw = index_tensor({5});
  const Tensor whole = vq::draw_rows(all, 9, 0, 23, draw, Rng(3));
  Tensor sum = ops::zeros({9, 3}, test_device());
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 7}, {7, 8}, {8, 8}, {8, 23}})
    ops::add_to(sum, vq::draw_rows(all.rows(begin, end), 9, begin, 23, draw, Rng(3)));
  CHECK(sum.to_vector<float>() == whole.to_vector<float>());
  CHECK_THROWS_AS(vq::draw_rows(all, 24, 0, 23, draw, Rng(3)), Error);
  CHECK_THROWS_AS(vq::draw_rows(all, 9, 1, 23, draw, Rng(3)), Error);
}

}  // namespace
}  // namespace versor::testing
