// What all quantizers promise (vq/quantizer.h), for every one that make_quantizer gives: symbols,
// counts and shapes; decode(); rows that are independent of each other; evaluation, a frozen pass
// and a guard, which change nothing; checkpoints. Gradients: test_family_gradients.cpp.
#include <set>

#include "nn/finite_guard.h"
#include "tensor/cpu/matmul.h"
#include "tests/vq/family.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

// Runs the body for each quantizer of the family, naming it where a check fails.
template <class Body>
void for_family(const Body& body) {
  for (const FamilyCase& c : family()) {
    CAPTURE(c.name);
    body(c);
  }
}

Quantized pass(const Quantizer& quantizer, const Tensor& rows, bool training) {
  return quantizer(Variable(rows, true), training);
}

bool decodes(const Quantizer& quantizer, const Quantized& out) {
  return bits_of(quantizer.decode(out.index)) == bits_of(out.value.value());
}

// Distances of each row of a and b.
std::vector<double> distances(const Array& a, const Array& b) {
  std::vector<double> all;
  for (int64_t r = 0; r < a.dim(0); ++r)
    all.push_back(ref::norm(ref::sub(ref::row_of(a, r), ref::row_of(b, r))));
  return all;
}

// The buffers alone, which moving averages write.
std::map<std::string, std::string> buffer_bits(const Quantizer& quantizer) {
  std::map<std::string, std::string> bits;
  for (const auto& [name, buffer] : quantizer.named_buffers()) bits[name] = bits_of(buffer.value());
  return bits;
}

// A guard that has found something in step 3.
Tensor raised_guard() {
  FiniteGuard guard(index_tensor({3}));
  guard.watch({{"rows", to_tensor({{1}, {std::nan("")}})}});
  CHECK(guard.found());
  return guard.state();
}

TEST_CASE("family: symbols, histogram, shapes and error") {
  for_family([](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const Vocabulary vocabulary = quantizer->vocabulary();
    CHECK(vocabulary.symbols == c.options.groups * c.options.layers);
    for (int64_t R : {37, 1})  // no multiple of a tile, and the smallest
      for (bool training : {false, true}) {
        const Quantized out = pass(*quantizer, draw_rows(71, R), training);
        REQUIRE(out.index.shape() == Shape{vocabulary.symbols, R});
        REQUIRE(out.counts.shape() == Shape{vocabulary.symbols, vocabulary.codes});
        CHECK(out.value.shape() == Shape{R, kLatent});
        CHECK(all_finite(out.value.value()));
        CHECK(out.input.shape() == out.codes.shape());
        CHECK(out.input.dim(0) == R);
        const double mse = ref::mse(to_array(out.input), to_array(out.codes));
        CHECK(out.error.item() == doctest::Approx(mse).epsilon(1e-5));
        for (const Variable& loss : {out.codebook_loss, out.commitment_loss, out.auxiliary_loss})
          if (loss.defined()) CHECK(loss.shape() == Shape{1});

        const Indices index = indices_of(out.index), counts = indices_of(out.counts);
        Indices expected(counts.size(), 0);
        for (size_t i = 0; i < index.size(); ++i) {
          const int64_t symbol = static_cast<int64_t>(i) / R;
          const bool left_out = index[i] == -1 && training && c.options.layer_dropout;
          REQUIRE((left_out || (index[i] >= 0 && index[i] < vocabulary.codes)));
          if (!left_out) ++expected[static_cast<size_t>(symbol * vocabulary.codes + index[i])];
        }
        CHECK(counts == expected);
        if (R == 37) CHECK(std::set(index.begin(), index.end()).size() > 3);  // not collapsed
      }
  });
}

TEST_CASE("family: decode() is the value, bit for bit") {
  for_family([](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const Tensor rows = draw_rows(72, 37);
    const Quantized evaluated = pass(*quantizer, rows, false);
    CHECK(decodes(*quantizer, evaluated) == c.code_in_evaluation);
    CHECK(decodes(*quantizer, pass(*quantizer, rows, true)) == c.code_in_training);
  });
}

TEST_CASE("family: decode() refuses symbols that there are not") {
  for_family([](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const Vocabulary vocabulary = quantizer->vocabulary();
    const auto decoded = [&](int64_t symbol) {
      Indices index(static_cast<size_t>(vocabulary.symbols * 2), 0);
      index.back() = symbol;
      return quantizer->decode(index_tensor(index).reshape({vocabulary.symbols, 2}));
    };
    CHECK(all_finite(decoded(vocabulary.codes - 1)));
    CHECK_THROWS_AS(decoded(vocabulary.codes), Error);
    if (c.options.layers == 1) CHECK_THROWS_AS(decoded(-1), Error);  // else a layer left out
  });
}

TEST_CASE("family: what the decoder gets where it is not the code") {
  const Tensor rows = draw_rows(73, 37);
  const Array e = to_array(rows);
  for_family([&](const FamilyCase& c) {
    if (c.code_in_training) return;
    const QuantizerPointer quantizer = made(c);
    const Quantized out = pass(*quantizer, rows, true);
    const Array value = to_array(out.value.value()), q = to_array(out.codes);
    const bool diveq = c.options.estimator.estimator == Estimator::diveq;
    // published, rotation_unscaled: as far from the origin as e. diveq: as far from e as the code.
    const Array origin = ref::filled(e.shape, c.options.estimator.origin.coordinate);
    const auto found = distances(value, diveq ? e : origin);
    const auto expected = diveq ? distances(q, e) : distances(e, origin);
    for (size_t r = 0; r < found.size(); ++r)
      CHECK(found[r] == doctest::Approx(expected[r]).epsilon(1e-5));
  });
}

// Noise s n turns the direction by about s |n'| / |q - e|, n' the part of n across q - e, so the
// value misses the code by s |n'|: s^2 (D - 1) in square.
TEST_CASE("family: diveq misses the code by the deviation of its noise") {
  constexpr int64_t R = 400, D = 8;
  const Tensor rows = draw_rows(75, R, D);
  for (const double deviation : {EstimatorOptions().noise_deviation, 0.01}) {
    FamilyCase c;
    c.name = "vq diveq";
    c.options.estimator = Estimator::diveq;
    c.options.estimator.noise_deviation = deviation;
    c.options.codebook.codes = 4;  // few, so that |q - e| is much longer than the noise
    c.options.codebook.latent = D;
    c.options.codebook.learning = CodebookLearning::gradient;
    const QuantizerPointer quantizer = made(c);
    const Quantized out = pass(*quantizer, rows, true);
    const auto missed = distances(to_array(out.value.value()), to_array(out.codes));
    double square = 0;
    for (double d : missed) square += d * d / static_cast<double>(R);
    CHECK(std::sqrt(square / (D - 1)) == doctest::Approx(deviation).epsilon(0.1));
  }
  CHECK(EstimatorOptions().noise_deviation == 1e-3);
}

TEST_CASE("family: rows in another order give the same symbols and values in that order") {
  constexpr int64_t R = 37;
  const Tensor rows = draw_rows(74, R);
  Indices order;
  for (uint32_t r = 0; r < R; ++r) order.push_back(Rng(3).permute(r, R));
  const Tensor moved = ops::gather_rows(rows, index_tensor(order));
  const bool own_products = test_device() == Device{} && !cpu::use_onednn();
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const Quantized out = pass(*quantizer, rows, false), other = pass(*quantizer, moved, false);
    const Tensor values = ops::gather_rows(out.value.value(), index_tensor(order));
    // Behind a projection only if the product is our own: in a library's, a row's position in its
    // blocks may decide the order of its sum.
    if (c.options.codebook_dim == 0 || own_products)
      CHECK((bits_of(other.value.value()) == bits_of(values)));
    else
      CHECK(ref::relative_error(to_array(other.value.value()), to_array(values)) < 1e-6);
    const Indices index = indices_of(out.index), found = indices_of(other.index);
    for (size_t i = 0; i < index.size(); ++i)
      CHECK(found[i] == index[i / R * R + static_cast<size_t>(order[i % R])]);
    CHECK((bits_of(other.counts) == bits_of(out.counts)));
  });
}

TEST_CASE("family: a pass changes nothing; an update changes what it should") {
  const Tensor rows = draw_rows(75, 37);
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const auto before = checkpoint_bits(*quantizer);
    const std::string first = bits_of(pass(*quantizer, rows, false));
    CHECK((checkpoint_bits(*quantizer) == before));
    CHECK((bits_of(pass(*quantizer, rows, false)) == first));
    const std::string training = bits_of(pass(*quantizer, rows, true));
    CHECK((bits_of(pass(*quantizer, rows, true)) == training));  // the same draws, too
    CHECK((checkpoint_bits(*quantizer) == before));
    train(*quantizer, Variable(rows, true));
    const bool averages =
        c.options.kind == QuantizerKind::vq;  // the gradient's books count their use as well
    CHECK((checkpoint_bits(*quantizer) != before) == (averages || c.draws));
    CHECK((buffer_bits(*quantizer) != buffer_bits(*made(c))) == averages);
    for (const auto& [name, parameter] : quantizer->named_parameters()) {
      CAPTURE(name);  // for the optimiser to update, unless averages own them too
      CHECK(((bits_of(parameter.value()) == before.at(name)) ||
             c.options.codebook.learning == CodebookLearning::both));
    }
  });
}

TEST_CASE("family: passes between two updates draw numbers of their own, and those after others") {
  const Tensor rows = draw_rows(76, 37);
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const auto drawn = [&](int64_t number) {
      return bits_of((*quantizer)(Variable(rows), {/*training=*/true, number}).index);
    };
    std::set<std::string> different{drawn(0), drawn(1), drawn(2)};
    const std::string second = drawn(1);
    quantizer->update({(*quantizer)(Variable(rows), {true, 0})});
    if (!c.draws) {
      CHECK(different.size() == 1);
    } else if (!c.options.layer_dropout && c.options.estimator.temperature > 0) {
      CHECK(different.size() == 3);
      // One pass was counted, so the next is the second. (Draws do not move codes.)
      if (!c.options.shared) CHECK((drawn(0) == second));
    }
  });
}

TEST_CASE("family: moving averages stand still once the guard has found something") {
  const Tensor rows = draw_rows(77, 37), raised = raised_guard();
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    const auto before = state_bits(*quantizer);
    train(*quantizer, Variable(rows), raised);
    CHECK((state_bits(*quantizer) == before));
    // A guard that has found nothing blocks nothing.
    const QuantizerPointer guarded = made(c), free = made(c);
    train(*guarded, Variable(rows), ops::new_guard(test_device()));
    train(*free, Variable(rows));
    CHECK((state_bits(*guarded) == state_bits(*free)));
  });
}

TEST_CASE("family: a checkpoint brings back the next training pass, bit for bit") {
  for_family([](const FamilyCase& c) {
    const QuantizerPointer first = made(c);
    for (uint64_t step = 0; step < 3; ++step) train(*first, Variable(draw_rows(80 + step, 37)));
    // A new one with the seed of the run, as a resumed program makes it.
    const QuantizerPointer second = make_quantizer(c.options, Rng(5), test_device());
    auto into = checkpoint_of(*second);
    const auto from = checkpoint_of(*first);
    REQUIRE(into.size() == from.size());
    for (size_t i = 0; i < into.size(); ++i) {
      CHECK(into[i].first == from[i].first);
      ops::copy(into[i].second, from[i].second);
    }
    const Tensor rows = draw_rows(83, 37);
    CHECK((bits_of(train(*first, Variable(rows))) == bits_of(train(*second, Variable(rows)))));
    CHECK((checkpoint_bits(*first) == checkpoint_bits(*second)));
  });
}

TEST_CASE("family: those that draw do so anew in every step") {
  const Tensor rows = draw_rows(78, 37);
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    CHECK(quantizer->capturable() == !c.options.layer_dropout);  // the host decides on layers alone
    if (!c.draws) return;
    CHECK_FALSE(quantizer->counters().empty());
    const auto counters = quantizer->counters();
    // With the codebooks reset each time, only the counters distinguish the steps.
    std::set<std::string> seen;
    const auto books = state_of(*quantizer);
    std::vector<Tensor> start;
    for (const auto& [name, book] : books) start.push_back(ops::clone(book.value()));
    for (int step = 0; step < 8; ++step) {
      seen.insert(bits_of(train(*quantizer, Variable(rows, true))));
      for (size_t i = 0; i < books.size(); ++i) {
        Variable book = books[i].second;
        ops::copy(book.mutable_value(), start[i]);
      }
    }
    // Noise never repeats; dropout of three layers uses 1, 2 or 3.
    CHECK(seen.size() == (c.options.layer_dropout ? 3 : 8));
  });
}

// Checkpoints identify tensors by these names.
TEST_CASE("family: names of parameters and buffers") {
  struct Names {
    const char* quantizer;
    std::vector<std::string> parameters, buffers;
  };
  const std::vector<std::string> projections = {"project_in.weight", "project_in.bias",
                                                "project_out.weight", "project_out.bias"};
  const std::vector<std::string> book = {"codebook.weight", "ema_cluster_size", "ema_dw"};
  const auto with = [](std::vector<std::string> names, const char* prefix) {
    for (std::string& name : names) name = prefix + name;
    return names;
  };
  for (const Names& n : {Names{"vq rotation", {}, book},
                         {"vq gradient", {"codebook.weight"}, {"ema_cluster_size", "ema_dw"}},
                         {"vq projected", projections, book},
                         {"simvq", {"transform.weight"}, {"frozen"}},
                         {"fsq 8 5 5 5", projections, {}},
                         {"bsq", projections, {}},
                         {"residual shared", {}, with(book, "layers.")},
                         {"grouped shared", {}, with(book, "groups.")}})
    for (const FamilyCase& c : family()) {
      if (c.name != n.quantizer) continue;
      CAPTURE(c.name);
      CHECK(names_of(made(c)->named_parameters()) == n.parameters);
      CHECK(names_of(made(c)->named_buffers()) == n.buffers);
    }
}

TEST_CASE("family: a projected quantizer starts from what the projection makes of the rows") {
  FamilyCase c;
  c.options.codebook = {.codes = 4, .latent = kLatent};
  c.options.codebook_dim = 3;
  const QuantizerPointer projected = make_quantizer(c.options, Rng(5), test_device());
  CHECK(projected->start_rows() == 32);
  const Tensor rows = draw_rows(85, 32);
  const auto state = [&](const char* name) { return to_array(state_of(*projected, name).value()); };
  const Array inner =
      ref::linear(to_array(rows), state("project_in.weight"), state("project_in.bias"));
  projected->start_from(rows);
  Codebook alone({.codes = 4, .latent = 3}, Rng(5), test_device());
  alone.start_from(to_tensor(inner));
  CHECK(error(state_of(*projected, "codebook.weight").value(), to_array(alone.weight().value())) <=
        kTolerance);
}

TEST_CASE("family: a single code") {
  const Tensor rows = draw_rows(79, 5);
  for_family([&](const FamilyCase& c) {
    const bool learned =
        c.options.kind == QuantizerKind::vq || c.options.kind == QuantizerKind::simvq;
    if (!learned) return;  // a grid has at least two
    FamilyCase single = c;
    single.options.codebook.codes = 1;
    const QuantizerPointer quantizer = made(single);
    for (bool training : {false, true}) {
      const Quantized out = pass(*quantizer, rows, training);
      for (int64_t index : indices_of(out.index)) CHECK((index == 0 || index == -1));
      CHECK(vq::perplexity(out.counts).item() == doctest::Approx(1.0).epsilon(1e-6));
      CHECK(all_finite(out.value.value()));
    }
  });
}

// Gumbel's gradient and the diversity loss use the probabilities of all rows and codes.
TEST_CASE("family: a training pass never holds a number for every row and code" * cpu_only()) {
  constexpr int64_t R = 16384, K = 1024;
  const Tensor rows = draw_rows(85, R);
  MemoryPool& pool = backend_for(test_device()).pool();
  for_family([&](const FamilyCase& c) {
    FamilyCase many = c;
    many.options.codebook.codes = K;
    const bool needs_all = many.options.estimator.estimator == Estimator::gumbel ||
                           many.options.codebook.diversity > 0;
    const QuantizerPointer quantizer = made(many);
    const size_t before = pool.current_bytes();
    pool.reset_peak();
    {
      const Quantized out = pass(*quantizer, rows, true);
      Variable loss = mean(square(out.value));
      for (const Variable& term : {out.codebook_loss, out.commitment_loss, out.auxiliary_loss})
        if (term.defined()) loss = loss + term;
      backward(loss);
    }
    CHECK((pool.peak_bytes() - before < sizeof(float) * R * K / 2) == !needs_all);
  });
}

TEST_CASE("family: of equal codes the first is used") {
  const Tensor rows = draw_rows(84, 37);
  for_family([&](const FamilyCase& c) {
    const QuantizerPointer quantizer = made(c);
    bool has_books = false;
    for (auto& [name, book] : state_of(*quantizer)) {
      if (!name.ends_with("codebook.weight") && name != "frozen") continue;
      has_books = true;
      Tensor second_half = book.value().rows(kCodes / 2, kCodes);
      ops::copy(second_half, book.value().rows(0, kCodes / 2));
    }
    if (!has_books) return;
    for (int64_t index : indices_of(pass(*quantizer, rows, false).index)) CHECK(index < kCodes / 2);
  });
}

}  // namespace
}  // namespace versor::testing
