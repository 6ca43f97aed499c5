// The quantizer as a whole: search, gather, losses (eq. 7) and who owns the codebook: the moving
// averages, the gradient of the codebook loss, or both.
#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "tensor/trace.h"
#include "tests/vq/support.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;
using ref::Random;

constexpr int64_t kR = 40, kK = 7, kD = 3;

// Quantizer and batch with codes spread as widely as the rows, so that several codes are used.
struct World {
  VectorQuantizer quantizer;
  Array e, codes;
  Variable leaf;

  explicit World(CodebookLearning owner, Estimator estimator = Estimator::rotation, double dead = 0)
      : quantizer({.codes = kK, .latent = kD, .learning = owner, .dead_code_fraction = dead},
                  estimator, Rng(11), test_device()) {
    Random random(900);
    e = rounded(random.array({kR, kD}));
    codes = rounded(random.array({kK, kD}));
    Variable weight = quantizer.codebook().weight();
    ops::copy(weight.mutable_value(), to_tensor(codes));
    ops::copy(state_of(quantizer, "ema_dw").mutable_value(), to_tensor(codes));
    leaf = Variable(to_tensor(e), true);
  }
  const Variable& weight() { return quantizer.codebook().weight(); }
};

// 2/(RD) * sum over the rows on code k of (q - e).   [K,D]
Array codebook_gradient(const Array& e, const Array& codes, const Indices& index) {
  Array gradient = ref::zeros(codes.shape);
  for (int64_t r = 0; r < kR; ++r)
    for (int64_t d = 0; d < kD; ++d) {
      const int64_t k = index[static_cast<size_t>(r)];
      gradient.at(k, d) += 2.0 / (kR * kD) * (codes.at(k, d) - e.at(r, d));
    }
  return gradient;
}

TEST_CASE("quantizer: index, codes, counts and losses") {
  for (Estimator estimator :
       {Estimator::rotation, Estimator::ste, Estimator::published, Estimator::rotation_unscaled}) {
    World w(CodebookLearning::ema, estimator);
    const Profile profile;
    const TrainedPass out = train(w.quantizer, w.leaf);
    CHECK(profile.entries().at("mse").calls == 1);  // both losses have the same value
    const Indices expected = ref::nearest_code(w.e, w.codes);
    const Array q = ref::gather_rows(w.codes, expected);
    CHECK(indices_of(out.index) == expected);
    CHECK(to_array(out.codes).data == q.data);  // the codes before the update, bit for bit
    CHECK(to_array(w.weight().value()).data != w.codes.data);
    const Array counts = ref::bincount(expected, kK);
    CHECK(indices_of(out.counts) == Indices(counts.data.begin(), counts.data.end()));
    CHECK((ref::relative_error(to_array(out.value.value()), q) == 0.0) ==
          (estimator != Estimator::published && estimator != Estimator::rotation_unscaled));
    const double mse = ref::mse(w.e, q);
    CHECK(out.codebook_loss.item() == doctest::Approx(mse).epsilon(1e-6));
    CHECK(out.commitment_loss.item() == doctest::Approx(mse).epsilon(1e-6));
  }
}

TEST_CASE("quantizer: the commitment loss moves e alone") {
  for (CodebookLearning owner :
       {CodebookLearning::ema, CodebookLearning::gradient, CodebookLearning::both}) {
    World w(owner);
    backward(w.quantizer(w.leaf, true).commitment_loss);
    const Array q = ref::gather_rows(w.codes, ref::nearest_code(w.e, w.codes));
    CHECK(error(w.leaf.grad(), ref::scale(ref::sub(w.e, q), 2.0 / (kR * kD))) <= 1e-6);
    CHECK_FALSE(w.weight().grad().defined());
  }
}

TEST_CASE("quantizer: owner ema keeps the codebook a buffer without gradient") {
  World w(CodebookLearning::ema);
  CHECK(names_of(w.quantizer.named_parameters()).empty());
  CHECK(names_of(w.quantizer.named_buffers()) ==
        std::vector<std::string>{"codebook.weight", "ema_cluster_size", "ema_dw"});
  const TrainedPass out = train(w.quantizer, w.leaf);
  CHECK_FALSE(out.codebook_loss.requires_grad());
  backward(sum(out.value) + out.codebook_loss + out.commitment_loss);
  CHECK_FALSE(w.weight().grad().defined());
  CHECK_FALSE(w.weight().requires_grad());
  const Indices index = ref::nearest_code(w.e, w.codes);
  const ref::Codebook expected =
      ref::ema_update(ref::warm_codebook(w.codes), w.e, index, 0.99, 1e-5);
  CHECK(error(w.weight().value(), expected.codes) <= kTolerance);
}

TEST_CASE("quantizer: owner gradient makes the codebook a parameter; EMA is off") {
  World w(CodebookLearning::gradient);
  CHECK(names_of(w.quantizer.named_parameters()) == std::vector<std::string>{"codebook.weight"});
  CHECK(names_of(w.quantizer.named_buffers()) ==
        std::vector<std::string>{"ema_cluster_size", "ema_dw"});
  const auto before = state_bits(w.quantizer);
  const TrainedPass out = train(w.quantizer, w.leaf);
  CHECK_FALSE(out.replaced.defined());
  backward(sum(out.value) + out.codebook_loss + 0.25f * out.commitment_loss);
  CHECK(state_bits(w.quantizer) == before);  // neither codes nor buffers
  CHECK(indices_of(w.quantizer.codebook().update_counter()) == Indices{0});
  const Indices index = ref::nearest_code(w.e, w.codes);
  const Array expected = codebook_gradient(w.e, w.codes, index);
  CHECK(ref::norm(expected) > 1e-2);
  CHECK(error(w.weight().grad(), expected) <= 1e-6);
}

TEST_CASE("quantizer: owner gradient: use is counted only where dead codes are replaced") {
  World w(CodebookLearning::gradient, Estimator::rotation, 0.9);
  for (int64_t d = 0; d < kD; ++d) w.codes.at(2, d) = 100;  // never nearest
  Variable weight = w.quantizer.codebook().weight();
  ops::copy(weight.mutable_value(), to_tensor(w.codes));
  Tensor count = state_of(w.quantizer, "ema_cluster_size").value().rows(2, 3);
  ops::fill(count, 0.01f);
  const TrainedPass out = train(w.quantizer, w.leaf);
  CHECK(indices_of(out.replaced)[0] >= 1);
  const Array after = to_array(w.weight().value());
  CHECK(ref::norm(ref::row_of(after, 2)) < 2.0);  // a row of e
  const auto counts = indices_of(out.counts);
  for (int64_t k = 0; k < kK; ++k)  // codes in use are updated by the gradient alone
    if (counts[static_cast<size_t>(k)] > 5)
      CHECK((ref::row_of(after, k).data == ref::row_of(w.codes, k).data));
}

TEST_CASE("quantizer: the codebook loss does not move e") {
  World w(CodebookLearning::gradient);
  backward(w.quantizer(w.leaf, true).codebook_loss);
  CHECK_FALSE(w.leaf.grad().defined());
}

TEST_CASE("quantizer: owner both: EMA overwrites the codes, Adam moves them from there") {
  World w(CodebookLearning::both, Estimator::published);
  CHECK(names_of(w.quantizer.named_parameters()) == std::vector<std::string>{"codebook.weight"});
  Adam adam(w.quantizer.parameters());
  ref::Codebook expected = ref::warm_codebook(w.codes);
  ref::AdamState moments{w.codes, ref::zeros(w.codes.shape), ref::zeros(w.codes.shape)};
  for (int step = 1; step <= 2; ++step) {
    const Indices index = ref::nearest_code(w.e, expected.codes);
    const Array gradient = codebook_gradient(w.e, expected.codes, index);  // of the codes searched
    expected = ref::ema_update(expected, w.e, index, 0.99, 1e-5);

    const Quantized out = w.quantizer(w.leaf, true);
    CHECK(indices_of(out.index) == index);
    adam.zero_grad();
    backward(out.codebook_loss);
    CAPTURE(step);
    CHECK(error(w.weight().grad(), gradient) <= kTolerance);
    w.quantizer.update({out});
    CHECK(error(w.weight().value(), expected.codes) <= kTolerance);
    adam.step();

    moments.parameter = expected.codes;
    moments = ref::adam_step(moments, gradient, step, {});
    CHECK(ref::relative_error(moments.parameter, expected.codes) > 5e-5);  // Adam has moved them
    expected.codes = moments.parameter;
    CHECK(error(w.weight().value(), expected.codes) <= kTolerance);
  }
}

TEST_CASE("quantizer: dead codes are replaced through it, and counted") {
  World w(CodebookLearning::ema, Estimator::rotation, 0.9);
  for (int64_t d = 0; d < kD; ++d) w.codes.at(2, d) = w.codes.at(5, d) = 100;  // never nearest
  Variable weight = w.quantizer.codebook().weight();
  ops::copy(weight.mutable_value(), to_tensor(w.codes));
  ops::fill(state_of(w.quantizer, "ema_cluster_size").mutable_value(), 0.1f);
  const TrainedPass out = train(w.quantizer, w.leaf);
  CHECK(indices_of(out.replaced)[0] >= 2);
  const Array after = to_array(w.weight().value());
  for (int64_t k : {2, 5}) CHECK(ref::norm(ref::row_of(after, k)) < 2.0);  // rows lie in [-1,1]^3
}

TEST_CASE("quantizer: a NaN in a row is reported, and the codebook keeps every bit") {
  World w(CodebookLearning::ema, Estimator::rotation, 0.9);
  const auto before = state_bits(w.quantizer);
  FiniteGuard guard(index_tensor({12}));
  w.e.at(kR - 1, 0) = std::nan("");
  const auto pass = [&](FiniteGuard& watching, const Array& e) {
    const Variable rows(to_tensor(e), true);
    watching.watch({{"encoder output", rows.value()}});  // as a training step does
    train(w.quantizer, rows, watching.state());
  };
  const Array finite = to_array(w.leaf.value());
  pass(guard, w.e);
  CHECK(state_bits(w.quantizer) == before);
  REQUIRE(guard.found());
  CHECK(guard.found()->step == 12);
  CHECK(guard.found()->tensor == "encoder output");
  pass(guard, finite);  // finite again, but what was found stays
  CHECK(state_bits(w.quantizer) == before);
  FiniteGuard fresh(index_tensor({12}));
  pass(fresh, finite);
  CHECK_FALSE(fresh.found());
  CHECK(state_bits(w.quantizer) != before);
}

TEST_CASE("quantizer: rows of another width are an error") {
  World w(CodebookLearning::ema);
  CHECK_THROWS_AS(w.quantizer(Variable(to_tensor(ref::zeros({4, kD + 1}))), true), Error);
}

}  // namespace
}  // namespace versor::testing
