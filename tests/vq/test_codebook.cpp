// The codebook's moving averages (eq. 3-5 with Laplace smoothing): warm and zero accumulators,
// three steps against the reference, the limits of decay, and passes, which change nothing.
// Owners and losses: test_quantizer.cpp. Read next: test_dead_codes.cpp.
#include "tests/vq/support.h"
#include "vq/backend.h"
#include "vq/ops.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

constexpr Accumulators kBoth[] = {Accumulators::warm, Accumulators::zero};

CodebookOptions plain(int64_t codes, int64_t latent) {
  return {.codes = codes, .latent = latent, .dead_code_fraction = 0};
}

// The codebook as the reference sees it.
ref::Codebook state_as_reference(const Codebook& book) {
  return {to_array(book.weight().value()), to_array(state_of(book, "ema_cluster_size").value()),
          to_array(state_of(book, "ema_dw").value())};
}

void check_equal(const Codebook& book, const ref::Codebook& expected) {
  CHECK(error(book.weight().value(), expected.codes) <= kTolerance);
  CHECK(error(state_of(book, "ema_cluster_size").value(), expected.count) <= 1e-6);
  CHECK(error(state_of(book, "ema_dw").value(), expected.sum) <= 1e-6);
}

void update(Codebook& book, const Array& e, const Indices& index) {
  const Tensor i = index_tensor(index);
  const Tensor replaced =
      update_book(book, to_tensor(e), i, ops::bincount(i, book.options().codes));
  CHECK_FALSE(replaced.defined());
}

TEST_CASE("codebook: starts uniform within 1/K, accumulators warm or zero") {
  for (int64_t K : {16, 1024})
    for (Accumulators accumulators : kBoth) {
      CodebookOptions options = plain(K, 32);
      options.accumulators = accumulators;
      const Codebook book(options, Rng(1), test_device());
      const ref::Codebook state = state_as_reference(book);
      const double bound = 1.0 / static_cast<double>(K);
      double squares = 0, largest = 0;
      for (double c : state.codes.data) squares += c * c, largest = std::max(largest, std::abs(c));
      CHECK(largest <= bound);
      CHECK(largest > 0.95 * bound);
      // The variance of U(-b, b) is b^2 / 3.
      CHECK(squares / static_cast<double>(K * 32) ==
            doctest::Approx(bound * bound / 3).epsilon(0.15));
      const bool warm = accumulators == Accumulators::warm;
      CHECK(state.count.data == std::vector<double>(static_cast<size_t>(K), warm ? 1.0 : 0.0));
      CHECK(state.sum.data == (warm ? state.codes : ref::zeros({K, 32})).data);
      CHECK_FALSE(state_of(book, "ema_dw").value().shares_storage_with(book.weight().value()));
    }
  const Codebook a(plain(16, 4), Rng(1), test_device()), b(plain(16, 4), Rng(2), test_device()),
      c(plain(16, 4), Rng(1), test_device());
  CHECK(state_bits(a) == state_bits(c));
  CHECK(state_bits(a) != state_bits(b));
}

TEST_CASE("codebook: three EMA steps against the reference") {
  for (Accumulators accumulators : kBoth)
    for (double decay : {0.99, 0.8, 0.5}) {
      CAPTURE(decay);
      CodebookOptions options = plain(12, 5);
      options.accumulators = accumulators;
      options.decay = decay;
      Codebook book(options, Rng(3), test_device());
      ref::Codebook expected = state_as_reference(book);
      Random random(800);
      for (int step = 0; step < 3; ++step) {
        const Array e = rounded(random.array({40, 5}, 0, 2));
        const Indices index = random.indices(40, 9);  // three codes are never used
        update(book, e, index);
        expected = ref::ema_update(expected, e, index, decay, 1e-5);
        check_equal(book, expected);
      }
      CHECK(indices_of(book.update_counter()) == Indices{3});
    }
}

TEST_CASE("codebook: eps is the options'") {
  CodebookOptions options = plain(3, 2);
  options.eps = 0.5;
  Codebook book(options, Rng(3), test_device());
  Random random(801);
  const Array e = rounded(random.array({10, 2}));
  const Indices index = random.indices(10, 2);
  const ref::Codebook expected = ref::ema_update(state_as_reference(book), e, index, 0.99, 0.5);
  update(book, e, index);
  check_equal(book, expected);
}

TEST_CASE("codebook: unused codes after the first step stay (warm) or become zero (zero)") {
  Random random(802);
  const Array e = rounded(random.array({30, 6}, 1, 2));
  const Indices index = random.indices(30, 4);  // of 8 codes
  for (Accumulators accumulators : kBoth) {
    CodebookOptions options = plain(8, 6);
    options.accumulators = accumulators;
    Codebook book(options, Rng(4), test_device());
    const Array before = to_array(book.weight().value());
    update(book, e, index);
    const Array after = to_array(book.weight().value());
    for (int64_t k = 4; k < 8; ++k)
      if (accumulators == Accumulators::warm)  // up to the smoothing: K eps / sum N
        CHECK(ref::relative_error(ref::row_of(after, k), ref::row_of(before, k)) <= 1.5e-5);
      else
        CHECK(ref::row_of(after, k).data == std::vector<double>(6, 0.0));
    for (int64_t k = 0; k < 4; ++k)
      CHECK(ref::relative_error(ref::row_of(after, k), ref::row_of(before, k)) > 0.05);
  }
}

TEST_CASE("codebook: decay 0 takes the batch's means, decay 1 keeps the codes") {
  Random random(803);
  const Array e = rounded(random.array({50, 3}));
  Indices index = random.indices(50, 5);
  for (int64_t k = 0; k < 5; ++k) index[static_cast<size_t>(k)] = k;  // no code is empty
  const Array n = ref::bincount(index, 5);
  Array means = ref::segment_sum(e, index, 5);
  for (int64_t i = 0; i < means.count(); ++i) means[i] /= n[i / 3];
  for (Accumulators accumulators : kBoth) {
    CodebookOptions options = plain(5, 3);
    options.accumulators = accumulators;
    options.decay = 0;
    Codebook moving(options, Rng(5), test_device());
    update(moving, e, index);
    CHECK(error(moving.weight().value(), means) <= kTolerance);
    CHECK(to_array(state_of(moving, "ema_cluster_size").value()).data == n.data);

    options.decay = 1;
    Codebook fixed(options, Rng(5), test_device());
    const Array before = to_array(fixed.weight().value());
    for (int step = 0; step < 3; ++step) update(fixed, e, index);
    CHECK(error(fixed.weight().value(), before) <= 1e-6);
    CHECK(to_array(state_of(fixed, "ema_cluster_size").value()).data ==
          std::vector<double>(5, accumulators == Accumulators::warm ? 1.0 : 0.0));
  }
}

TEST_CASE("codebook: a code that is never used again ends at the origin, not at NaN") {
  CodebookOptions options = plain(4, 2);
  options.decay = 0.1;  // N and m reach 0 within 50 steps
  Codebook book(options, Rng(6), test_device());
  const Array e = ref::filled({6, 2}, 1.5);
  for (int step = 0; step < 50; ++step) update(book, e, Indices(6, 0));
  CHECK(all_finite(book.weight().value()));
  const Array codes = to_array(book.weight().value());
  CHECK(ref::relative_error(ref::row_of(codes, 0), ref::filled({2}, 1.5)) <= kTolerance);
  CHECK(ref::norm(ref::row_of(codes, 3)) <= 1e-6);
}

TEST_CASE("ema_update: the same bits for every number of threads; nothing beside the outputs") {
  Random random(804);
  const Array e = random.array({200, 64}), codes = random.array({700, 64});
  const Indices index = random.indices(200, 700);
  const Tensor counts = index_tensor(random.indices(700, 9));
  const auto run = [&] {
    Fenced c(codes), m(codes), n(ref::filled({700}, 1));
    vq_backend_for(test_device())
        .ema_update(c.view, n.view, m.view, counts, to_tensor(codes), {}, 0.9, 1e-5, false);
    CHECK((c.intact() && n.intact() && m.intact()));
    return bits_of(c.view) + bits_of(n.view) + bits_of(m.view);
  };
  CHECK(same_bits_always(run));
}

TEST_CASE("ema_update: by hand") {
  Tensor codes = to_tensor({{2, 2}, {9, 9, 9, 9}}), m = to_tensor({{2, 2}, {1, 2, 3, 4}});
  Tensor N = to_tensor({{2}, {1, 3}});
  const Tensor counts = index_tensor({3, 1}), sums = to_tensor({{2, 2}, {5, 2, 7, 0}});
  vq::ema_update(codes, N, m, counts, sums, {}, 0.5, 1.0);
  CHECK(to_array(N).data == std::vector<double>{2, 2});
  CHECK(to_array(m).data == std::vector<double>{3, 2, 5, 2});
  // Nhat = (2 + 1) / (4 + 2 * 1) * 4 = 2 for both.
  CHECK(to_array(codes).data == std::vector<double>{1.5, 1, 2.5, 1});
}

TEST_CASE("codebook: stands still once the guard has found something") {
  Random random(806);
  const Tensor e = to_tensor(random.array({30, 4})), index = index_tensor(random.indices(30, 6));
  const Tensor counts = ops::bincount(index, 6);
  const CodebookOptions options{.codes = 6, .latent = 4, .dead_code_fraction = 0.9};
  Codebook frozen(options, Rng(9), test_device()), guarded(options, Rng(9), test_device()),
      plain_book(options, Rng(9), test_device());
  const auto before = state_bits(frozen);
  CHECK(indices_of(update_book(frozen, e, index, counts, index_tensor({0, 1}))) == Indices{0});
  CHECK(state_bits(frozen) == before);
  update_book(guarded, e, index, counts, ops::new_guard(test_device()));
  update_book(plain_book, e, index, counts);
  CHECK(state_bits(guarded) == state_bits(plain_book));
  CHECK(state_bits(guarded) != before);
}

TEST_CASE("codebook: a pass changes no byte; an update does, from a pass of either kind") {
  Random random(805);
  const Variable e(to_tensor(random.array({60, 4}, 0, 1)));
  std::map<std::string, std::string> after[2];
  for (bool training : {false, true}) {
    VectorQuantizer quantizer({.codes = 10, .latent = 4}, Estimator::rotation, Rng(8),
                              test_device());
    const auto before = state_bits(quantizer);
    CHECK(before.size() == 3);
    const Quantized out = quantizer(e, training);
    CHECK((state_bits(quantizer) == before));
    CHECK(indices_of(quantizer.codebook().update_counter()) == Indices{0});
    CHECK(quantizer.update({out}).defined());
    CHECK(indices_of(quantizer.codebook().update_counter()) == Indices{1});
    after[training] = state_bits(quantizer);
    CHECK((after[training] != before));
  }
  CHECK((after[0] == after[1]));
}

TEST_CASE("codebook: wrong options and shapes are errors") {
  const auto message = [](const CodebookOptions& options) {
    return error_of([&] { Codebook(options, Rng(1), test_device()); });
  };
  CHECK(contains(message(plain(0, 4)), "codes must be positive, got 0"));
  CHECK(contains(message(plain(4, -1)), "latent size must be positive, got -1"));
  CHECK(contains(message({.codes = 4, .latent = 4, .decay = 1.01}), "1.01"));
  CHECK(contains(message({.codes = 4, .latent = 4, .decay = -0.5}), "-0.5"));
  CHECK(contains(message({.codes = 4, .latent = 4, .dead_code_fraction = -0.1}), "-0.1"));
  CHECK(message({.codes = 4, .latent = 4, .decay = 1, .dead_code_fraction = 1}).empty());
  Codebook book(plain(4, 3), Rng(1), test_device());
  const Tensor index = index_tensor({0, 1}), counts = index_tensor({1, 1, 0, 0});
  CHECK_THROWS_AS(update_book(book, to_tensor(ref::zeros({2, 5})), index, counts), Error);
  CHECK_THROWS_AS(update_book(book, to_tensor(ref::zeros({2, 3})), index, index_tensor({1, 1})),
                  Error);
  CHECK_THROWS_AS(update_book(book, to_tensor(ref::zeros({3, 3})), index, counts), Error);
}

}  // namespace
}  // namespace versor::testing
