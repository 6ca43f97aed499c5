// Options of the codebook beyond the paper's: codes of length 1 (cosine), soft EM, statistics over
// several micro-batches, and dead codes of a codebook that its gradient owns.
#include "tests/reference_family.h"
#include "tests/vq/support.h"
#include "vq/ops.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

constexpr int64_t kR = 30, kK = 6, kD = 4;

Array draw(uint64_t seed, ref::Shape shape = {kR, kD}, double low = -1, double high = 1) {
  ref::Random random(seed);
  return rounded(random.array(shape, low, high));
}

CodebookOptions plain() {
  return {.codes = kK, .latent = kD, .decay = 0.8, .dead_code_fraction = 0};
}

// A quantizer with these codes and warm accumulators.
struct World {
  VectorQuantizer quantizer;
  ref::Codebook expected;

  World(const CodebookOptions& options, const Array& codes)
      : quantizer(options, Estimator::ste, Rng(1), test_device()),
        expected(ref::warm_codebook(codes)) {
    for (const char* name : {"codebook.weight", "ema_dw"})
      ops::copy(state_of(quantizer, name).mutable_value(), to_tensor(codes));
  }
  TrainedPass pass(const Array& e) { return train(quantizer, Variable(to_tensor(e), true)); }
  Array weight() { return to_array(quantizer.codebook().weight().value()); }
  void check() {
    CHECK(ref::relative_error(weight(), expected.codes) <= kTolerance);
    CHECK(error(state_of(quantizer, "ema_cluster_size").value(), expected.count) <= 1e-6);
    CHECK(error(state_of(quantizer, "ema_dw").value(), expected.sum) <= 1e-6);
  }
};

// ---- cosine ----

// Index by the largest cosine.
Indices most_parallel(const Array& e, const Array& codes) {
  return ref::argmax(ref::matmul(ref::unit_rows(e), ref::unit_rows(codes), false, true));
}

TEST_CASE("cosine: the largest cosine wins, and what is passed on has length 1") {
  CodebookOptions options = plain();
  options.cosine = true;
  Array codes = draw(1400, {kK, kD});
  for (int64_t k = 0; k < kK; ++k)  // lengths that would mislead a search by distance
    for (int64_t d = 0; d < kD; ++d) codes.at(k, d) *= static_cast<double>(1 + 3 * k);
  const Array e = draw(1401);
  CHECK(most_parallel(e, codes) != ref::nearest_code(e, codes));
  World w(options, codes);
  const Quantized out = w.pass(e);
  const Indices index = most_parallel(e, codes);
  CHECK(indices_of(out.index) == index);
  const Array q = ref::gather_rows(ref::unit_rows(codes), index), z = ref::unit_rows(e);
  CHECK(error(out.value.value(), q) <= 1e-6);
  CHECK(error(out.input, z) <= 1e-6);
  CHECK(out.commitment_loss.item() == doctest::Approx(ref::mse(z, q)).epsilon(1e-5));
  // Longer rows change nothing.
  const Quantized longer = World(options, codes).pass(ref::scale(e, 64));
  CHECK(indices_of(longer.index) == index);
}

TEST_CASE("cosine: moving averages of unit vectors, three steps") {
  CodebookOptions options = plain();
  options.cosine = true;
  World w(options, rounded(ref::unit_rows(draw(1402, {kK, kD}))));
  for (uint64_t step = 0; step < 3; ++step) {
    const Array e = draw(1403 + step, {kR, kD}, -1, 3);
    const Indices index = most_parallel(e, w.expected.codes);
    w.expected = ref::ema_update(w.expected, ref::unit_rows(e), index, 0.8, 1e-5);
    w.expected.codes = ref::unit_rows(w.expected.sum);
    CHECK(indices_of(w.pass(e).index) == index);
    w.check();
    const Tensor codes = w.quantizer.codebook().codes().value();
    CHECK(error(codes, ref::unit_rows(w.expected.codes)) <= kTolerance);
    for (int64_t k = 0; k < kK; ++k)
      CHECK(ref::norm(ref::row_of(to_array(codes), k)) == doctest::Approx(1.0).epsilon(1e-6));
  }
}

// Its averages decay towards zero; divided by their length, nothing would be left of the direction.
TEST_CASE("cosine: a code that nothing is assigned to keeps its direction and length 1") {
  CodebookOptions options{.codes = 3, .latent = 2, .decay = 0.5, .dead_code_fraction = 0};
  options.cosine = true;
  for (Accumulators accumulators : {Accumulators::warm, Accumulators::zero}) {
    options.accumulators = accumulators;
    World w(options, rounded(ref::unit_rows({{3, 2}, {1, 0, 0.9962, 0.0872, -0.6, -0.8}})));
    if (accumulators == Accumulators::zero)
      ops::fill(state_of(w.quantizer, "ema_dw").mutable_value(), 0.f);
    Array e = ref::zeros({kR, 2});
    for (int64_t r = 0; r < kR; ++r) e.at(r, 0) = 1, e.at(r, 1) = r % 2 == 0 ? 0 : 0.09;
    // After 100 steps m is 1e-30 of its start, after 300 it is 0.
    for (int step = 1; step <= 300; ++step) {
      w.pass(e);
      if (step != 1 && step % 50 != 0) continue;
      CAPTURE(step);
      const Array weight = w.weight(), codes = to_array(w.quantizer.codebook().codes().value());
      for (const Array& c : {weight, codes}) {
        for (int64_t k = 0; k < 3; ++k)
          CHECK(ref::norm(ref::row_of(c, k)) == doctest::Approx(1.0).epsilon(1e-6));
        CHECK(ref::relative_error(ref::row_of(c, 2), {{2}, {-0.6, -0.8}}) <= 1e-5);
      }
      // At 75 degrees the code at 5 is the nearest, and what is passed on has length 1.
      const Variable z(to_tensor({{1, 2}, {std::cos(1.309), std::sin(1.309)}}));
      const Quantized out = w.quantizer(z, false);
      CHECK(indices_of(out.index) == Indices{1});
      CHECK(ref::norm(to_array(out.value.value())) == doctest::Approx(1.0).epsilon(1e-6));
    }
  }
}

TEST_CASE("cosine: spherical k-means") {
  const Array points = ref::unit_rows(draw(1410, {60, kD}));
  const Array start = rounded(ref::unit_rows(draw(1411, {3, kD})));
  Array expected = start;
  for (int i = 0; i < 4; ++i) expected = ref::unit_rows(ref::kmeans_step(points, expected, {}));
  const Tensor centres = kmeans_from(to_tensor(start), to_tensor(points), 4, Rng(1), true);
  CHECK(error(centres, expected) <= kTolerance);
  // k-means at the start does the same with rows of any length.
  CodebookOptions options = plain();
  options.cosine = true;
  Codebook book(options, Rng(2), test_device());
  book.start_from(to_tensor(draw(1412, {60, kD}, 3, 9)));
  const Array weight = to_array(book.weight().value());
  for (int64_t k = 0; k < kK; ++k)
    CHECK(ref::norm(ref::row_of(weight, k)) == doctest::Approx(1.0).epsilon(1e-6));
  CHECK((bits_of(state_of(book, "ema_dw").value()) == bits_of(book.weight().value())));
}

// ---- soft EM ----

// n = sum over r of p_r, s = p^T e, then eq. (3)-(5).
ref::Codebook soft_update(const ref::Codebook& before, const Array& e, double t, double decay) {
  const Array p = ref::code_probabilities(e, before.codes, t);
  const Array n = ref::sum_axis0(p), s = ref::matmul(p, e, true, false);
  ref::Codebook after = before;
  for (int64_t k = 0; k < kK; ++k) {
    after.count[k] = decay * before.count[k] + (1 - decay) * n[k];
    for (int64_t d = 0; d < kD; ++d)
      after.sum.at(k, d) = decay * before.sum.at(k, d) + (1 - decay) * s.at(k, d);
  }
  const double total = ref::sum(after.count);
  for (int64_t k = 0; k < kK; ++k)
    for (int64_t d = 0; d < kD; ++d)
      after.codes.at(k, d) =
          after.sum.at(k, d) / ((after.count[k] + 1e-5) / (total + kK * 1e-5) * total);
  return after;
}

TEST_CASE("soft EM: every row counts for all codes, three steps") {
  for (double t : {0.1, 1.0}) {
    CAPTURE(t);
    CodebookOptions options = plain();
    options.soft_em = t;
    World w(options, draw(1420, {kK, kD}));
    for (uint64_t step = 0; step < 3; ++step) {
      const Array e = draw(1421 + step);
      const Indices index = ref::nearest_code(e, w.expected.codes);
      const ref::Codebook hard = ref::ema_update(w.expected, e, index, 0.8, 1e-5);
      w.expected = soft_update(w.expected, e, t, 0.8);
      CHECK(ref::relative_error(hard.count, w.expected.count) > 0.01);  // differs from hard EM
      const Quantized out = w.pass(e);
      CHECK(indices_of(out.index) == index);  // the code passed on is the nearest one all the same
      const Array counts = ref::bincount(index, kK);
      CHECK(indices_of(out.counts) == Indices(counts.data.begin(), counts.data.end()));
      w.check();
    }
  }
}

// Soft assignments are computed for 1,024 rows at a time.
TEST_CASE("soft EM: the statistics of many rows are those of all their parts") {
  constexpr int64_t R = 2500, K = 1024, D = 3;
  const Array e = rounded(ref::Random(1303).array({R, D}));
  Codebook codebook({.codes = K, .latent = D, .decay = 0, .soft_em = 0.5}, Rng(3), test_device());
  codebook.start_from(to_tensor(e));
  const Array p = ref::code_probabilities(e, to_array(codebook.weight().value()), 0.5);
  const Tensor index = index_tensor(Indices(R, 0));
  update_book(codebook, to_tensor(e), index, ops::bincount(index, K));
  Array counts = ref::zeros({K});
  for (int64_t r = 0; r < R; ++r)
    for (int64_t k = 0; k < K; ++k) counts[k] += p.at(r, k);
  CHECK(error(state_of(codebook, "ema_cluster_size").value(), counts) <= kTolerance);
  CHECK(error(state_of(codebook, "ema_dw").value(), ref::matmul(p, e, true, false)) <= kTolerance);
}

TEST_CASE("soft EM: a low temperature counts the nearest code alone") {
  CodebookOptions options = plain();
  const Array codes = draw(1430, {kK, kD}), e = draw(1431);
  World hard(options, codes);
  options.soft_em = 1e-4;
  World soft(options, codes);
  hard.pass(e);
  soft.pass(e);
  CHECK(ref::relative_error(soft.weight(), hard.weight()) <= 1e-5);
}

// ---- several micro-batches ----

TEST_CASE("micro-batches: one update from all, as from one batch of all their rows") {
  for (double t : {0.0, 0.5}) {  // counts are whole numbers, or not
    CAPTURE(t);
    CodebookOptions options = plain();
    options.soft_em = t;
    const Array codes = draw(1440, {kK, kD}), all = draw(1441, {3 * kR, kD});
    World whole(options, codes), parts(options, codes);
    const auto start = state_bits(parts.quantizer);
    whole.pass(all);
    std::vector<Quantized> passes;
    for (int64_t i = 0; i < 3; ++i) {
      Array some = ref::zeros({kR, kD});
      std::copy_n(all.data.begin() + i * kR * kD, kR * kD, some.data.begin());
      passes.push_back(parts.quantizer(Variable(to_tensor(some), true), {true, i}));
    }
    CHECK((state_bits(parts.quantizer) == start));
    parts.quantizer.update(passes);
    CHECK((state_bits(parts.quantizer) != start));
    const auto state = [](const World& w, const char* name) {
      return state_of(w.quantizer, name).value();
    };
    if (t == 0)
      CHECK(
          (bits_of(state(parts, "ema_cluster_size")) == bits_of(state(whole, "ema_cluster_size"))));
    for (const char* name : {"codebook.weight", "ema_cluster_size", "ema_dw"})
      CHECK(error(state(parts, name), to_array(state(whole, name))) <= 1e-6);
    CHECK(indices_of(parts.quantizer.codebook().update_counter()) == Indices{1});
    // No statistics of these passes are carried over into the next update.
    whole.pass(all);
    parts.pass(all);
    CHECK(error(state(parts, "ema_dw"), to_array(state(whole, "ema_dw"))) <= 1e-6);
  }
}

TEST_CASE("micro-batches: dead codes are replaced once, as after one batch") {
  CodebookOptions options = plain();
  options.dead_code_fraction = 0.1;
  options.decay = 0;
  Array codes = draw(1450, {kK, kD});
  for (int64_t d = 0; d < kD; ++d) codes.at(2, d) = 100;  // never nearest
  const Array all = draw(1451, {4 * kR, kD});
  const auto batch = [&](int64_t i) {
    Array some = ref::zeros({kR, kD});
    std::copy_n(all.data.begin() + i * kR * kD, kR * kD, some.data.begin());
    return some;
  };
  World w(options, codes), whole(options, codes);
  std::vector<Quantized> passes;
  for (int64_t i = 0; i < 4; ++i)
    passes.push_back(w.quantizer(Variable(to_tensor(batch(i)), true), {true, i}));
  CHECK(ref::row_of(w.weight(), 2).data == std::vector<double>(kD, 100));
  CHECK(indices_of(w.quantizer.update(passes)) == Indices{1});
  CHECK(indices_of(whole.pass(all).replaced) == Indices{1});
  // The same vector, whichever micro-batch it is from, and no rows are carried over into the next
  // update.
  CHECK(ref::row_of(w.weight(), 2).data == ref::row_of(whole.weight(), 2).data);
  for (World* each : {&w, &whole}) {
    Variable state = state_of(each->quantizer, "codebook.weight");
    ops::copy(state.mutable_value(), to_tensor(codes));
    CHECK(indices_of(each->pass(batch(0)).replaced) == Indices{1});
  }
  CHECK(ref::row_of(w.weight(), 2).data == ref::row_of(whole.weight(), 2).data);
}

TEST_CASE("micro-batches: what a guard found in any drops all of them") {
  World w(plain(), draw(1460, {kK, kD}));
  const auto start = state_bits(w.quantizer);
  const Tensor raised = index_tensor({0, 1});
  w.quantizer.update({w.quantizer(Variable(to_tensor(draw(1461))), true),
                      w.quantizer(Variable(to_tensor(draw(1462))), {true, 1})},
                     raised);
  CHECK((state_bits(w.quantizer) == start));
  const Array e = draw(1463);
  w.expected = ref::ema_update(w.expected, e, ref::nearest_code(e, w.expected.codes), 0.8, 1e-5);
  w.pass(e);
  w.check();
}

// ---- dead codes ----

TEST_CASE("dead codes: of a codebook that its gradient owns; codes in use keep every bit") {
  CodebookOptions options = plain();
  options.learning = CodebookLearning::gradient;
  options.dead_code_fraction = 0.1;
  Array codes = draw(1470, {kK, kD});
  for (int64_t k : {1, 4})
    for (int64_t d = 0; d < kD; ++d) codes.at(k, d) = 100;  // never nearest
  World w(options, codes);
  ref::Codebook use = ref::warm_codebook(codes);  // N as the averages would count it
  int64_t first = -1;
  for (uint64_t step = 0; step < 20; ++step) {
    const Array e = draw(1471 + step), before = w.weight();
    const TrainedPass out = w.pass(e);
    const int64_t replaced = indices_of(out.replaced)[0];
    if (first < 0) {
      use = ref::ema_update(use, e, ref::nearest_code(e, codes), 0.8, 1e-5);
      const double border = 0.1 * ref::sum(use.count) / kK;
      CHECK(use.count[1] == use.count[4]);
      CHECK(replaced == (use.count[1] < border ? 2 : 0));
      if (replaced > 0) first = static_cast<int64_t>(step);
    }
    const Array after = w.weight();
    int64_t moved = 0;
    for (int64_t k = 0; k < kK; ++k)
      moved += ref::row_of(after, k).data != ref::row_of(before, k).data;
    CHECK(moved == replaced);  // only dead codes are replaced, although N and m are averaged
  }
  CHECK(first > 0);  // 1 < 0.1 * 30 / 6 takes a few steps
  for (int64_t k : {1, 4}) CHECK(ref::norm(ref::row_of(w.weight(), k)) <= 2);  // in [-1,1]^4
}

// Codes that the package would let shrink to the origin (tests/golden/README.md) are replaced here.
TEST_CASE("dead codes: no code sinks to the origin, where the default replaces them") {
  CodebookOptions options = plain();
  const Array codes = draw(1490, {kK, kD}, -50, -40), e = draw(1491, {kR, kD}, 2, 3);
  for (double fraction : {0.0, CodebookOptions().dead_code_fraction}) {
    CAPTURE(fraction);
    options.dead_code_fraction = fraction;
    World w(options, codes);
    for (int step = 0; step < 120; ++step) w.pass(e);
    double shortest = 1e9;
    for (int64_t k = 0; k < kK; ++k)
      shortest = std::min(shortest, ref::norm(ref::row_of(w.weight(), k)));
    CHECK((shortest > 3.9) == (fraction > 0));  // rows of e are at least 4 long
    CHECK((shortest < 0.1) == (fraction == 0));
  }
}

}  // namespace
}  // namespace versor::testing
