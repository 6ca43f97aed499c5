// Quantizers made of quantizers: the residuals from layer to layer, the single gradient of a
// residual quantizer, dropout of layers, a codebook that several layers share, and groups as
// quantizers of their own.
#include <array>
#include <numeric>

#include "tests/vq/support.h"
#include "vq/grouped.h"
#include "vq/ops.h"
#include "vq/residual.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

constexpr int64_t kR = 37, kK = 6, kD = 4;

Array draw(uint64_t seed, ref::Shape shape = {kR, kD}) {
  ref::Random random(seed);
  return rounded(random.array(shape));
}

CodebookOptions plain(int64_t latent = kD) {
  return {.codes = kK, .latent = latent, .dead_code_fraction = 0};
}

// Parts with one codebook each.
MakeQuantizer books(const CodebookOptions& options, Estimator estimator = Estimator::ste) {
  return [=](int64_t part) {
    return std::make_unique<VectorQuantizer>(options, estimator,
                                             Rng(20 + static_cast<uint64_t>(part)), test_device());
  };
}

ResidualQuantizer residual(const ResidualOptions& options, const CodebookOptions& book = plain()) {
  return {options, books(book), Rng(6), test_device()};
}

void set(const Module& module, const std::string& name, const Array& value) {
  Variable state = state_of(module, name);
  ops::copy(state.mutable_value(), to_tensor(value));
}

// Codebook and accumulators as they are after a start.
void set_book(const Module& module, const std::string& prefix, const Array& codes) {
  set(module, prefix + "codebook.weight", codes);
  set(module, prefix + "ema_dw", codes);
}

TrainedPass pass(Quantizer& quantizer, const Array& e, bool training) {
  const Variable rows(to_tensor(e), true);
  return training ? train(quantizer, rows) : TrainedPass{quantizer(rows, false), {}};
}

Indices row_of(const Tensor& index, int64_t symbol) {
  return indices_of(index.rows(symbol, symbol + 1));
}

// r_0 = e, r_(l+1) = r_l - q_l: indices and residuals of every layer.
struct Layers {
  std::vector<Indices> index;
  std::vector<Array> residual;  // before each layer; the last is what remains after all of them
};
Layers reference_layers(const Array& e, const std::vector<Array>& codes) {
  Layers layers;
  layers.residual.push_back(e);
  for (const Array& book : codes) {
    layers.index.push_back(ref::nearest_code(layers.residual.back(), book));
    layers.residual.push_back(
        ref::sub(layers.residual.back(), ref::gather_rows(book, layers.index.back())));
  }
  return layers;
}

// ---- residual ----

TEST_CASE("residual: layers against the reference; losses are their means") {
  ResidualQuantizer quantizer = residual({.layers = 3, .estimator = Estimator::ste});
  const Array e = draw(1300);
  std::vector<Array> codes;
  for (int64_t l = 0; l < 3; ++l) {
    codes.push_back(rounded(ref::scale(draw(1301 + static_cast<uint64_t>(l), {kK, kD}),
                                       1.0 / static_cast<double>(l + 1))));
    set_book(quantizer, str("layers.", l, "."), codes.back());
  }
  const Layers expected = reference_layers(e, codes);
  const TrainedPass out = pass(quantizer, e, true);
  double mean = 0;
  for (int64_t l = 0; l < 3; ++l) {
    CHECK(row_of(out.index, l) == expected.index[static_cast<size_t>(l)]);
    const Array left = expected.residual[static_cast<size_t>(l + 1)];
    mean += ref::dot(left, left) / static_cast<double>(left.count()) / 3;
  }
  CHECK(error(out.value.value(), ref::sub(e, expected.residual.back())) <= kTolerance);
  CHECK(out.commitment_loss.item() == doctest::Approx(mean).epsilon(1e-5));
  CHECK(out.codebook_loss.item() == doctest::Approx(mean).epsilon(1e-5));
  // The overall error is that of the last layer.
  const Array left = expected.residual.back();
  CHECK(out.error.item() ==
        doctest::Approx(ref::dot(left, left) / static_cast<double>(left.count())).epsilon(1e-5));
  for (int64_t l = 0; l < 3; ++l) {  // each codebook is updated from what its layer saw
    const auto at = static_cast<size_t>(l);
    const ref::Codebook moved = ref::ema_update(
        ref::warm_codebook(codes[at]), expected.residual[at], expected.index[at], 0.99, 1e-5);
    CHECK(error(state_of(quantizer, str("layers.", l, ".codebook.weight")).value(), moved.codes) <=
          kTolerance);
  }
}

TEST_CASE("residual: books that k-means started leave less over from layer to layer") {
  const Array e = draw(1310, {200, kD});
  double before = ref::dot(e, e) / static_cast<double>(e.count());
  for (int64_t layers : {1, 2, 3, 4}) {
    ResidualQuantizer quantizer = residual({.layers = layers});
    CHECK(quantizer.start_rows() == 8 * kK);
    quantizer.start_from(to_tensor(e));  // layer l from the same seed: the first l - 1 are the same
    const double error = pass(quantizer, e, false).error.item();
    CHECK(error < 0.9 * before);
    before = error;
  }
}

TEST_CASE("residual: the gradient of e is that of one quantizer, whatever the number of layers") {
  const Array e = draw(1320), g = draw(1321);
  for (int64_t layers : {1, 2, 6}) {
    CAPTURE(layers);
    ResidualQuantizer straight = residual({.layers = layers, .estimator = Estimator::ste});
    Variable leaf(to_tensor(e), true);
    backward_with(straight(leaf, true).value, to_tensor(g));
    CHECK((bits_of(leaf.grad()) == bits_of(to_tensor(g))));

    ResidualQuantizer turning = residual({.layers = layers, .estimator = Estimator::rotation});
    leaf = Variable(to_tensor(e), true);
    const Quantized out = turning(leaf, true);
    backward_with(out.value, to_tensor(g));
    const Array q = to_array(out.value.value());
    CHECK(error(leaf.grad(), ref::estimator_gradient(ref::Estimator::rotation, e, q, g)) <=
          kTolerance);
  }
}

// How many layers this pass used.
int64_t layers_used(const Quantized& out) {
  int64_t used = 0;
  while (used < out.index.dim(0) && row_of(out.index, used)[0] >= 0) ++used;
  return used;
}

TEST_CASE("residual: dropped layers have no symbol, no count and add nothing") {
  ResidualQuantizer quantizer = residual({.layers = 4, .dropout = true, .fewest = 2});
  for (int64_t l = 0; l < 4; ++l)
    set_book(quantizer, str("layers.", l, "."), draw(1330 + static_cast<uint64_t>(l), {kK, kD}));
  const Array e = draw(1340);
  for (int step = 0; step < 20; ++step) {
    const auto before = state_bits(quantizer);
    std::vector<Array> codes;
    for (int64_t l = 0; l < 4; ++l)
      codes.push_back(to_array(state_of(quantizer, str("layers.", l, ".codebook.weight")).value()));
    const TrainedPass out = pass(quantizer, e, true);
    const int64_t used = layers_used(out);
    for (int64_t l = 0; l < 4; ++l) {
      const Indices counts = row_of(out.counts, l);
      CHECK(std::accumulate(counts.begin(), counts.end(), int64_t{0}) == (l < used ? kR : 0));
      if (l >= used) CHECK(row_of(out.index, l) == Indices(kR, -1));
      // Nor is its codebook updated from this batch.
      const std::string name = str("layers.", l, ".ema_cluster_size");
      CHECK((bits_of(state_of(quantizer, name).value()) != before.at(name)) == (l < used));
    }
    codes.resize(static_cast<size_t>(used));
    const Array left = reference_layers(e, codes).residual.back();
    CHECK(error(out.value.value(), ref::sub(e, left)) <= kTolerance);
  }
  CHECK(layers_used(pass(quantizer, e, false)) == 4);  // in evaluation all are used
}

TEST_CASE("residual: dropout leaves every allowed number of layers alike often" * cpu_only()) {
  for (int64_t fewest : {1, 3, 4}) {
    ResidualQuantizer quantizer = residual({.layers = 4, .dropout = true, .fewest = fewest});
    std::map<int64_t, int> times;
    for (int step = 0; step < 300; ++step)
      ++times[layers_used(pass(quantizer, draw(1341, {1, kD}), true))];
    const auto lengths = static_cast<size_t>(5 - fewest);
    CHECK(times.size() == lengths);
    CHECK(times.begin()->first == fewest);
    CHECK(times.rbegin()->first == 4);
    for (const auto& [length, n] : times) {  // the standard deviation is at most 9
      CAPTURE(length);
      CHECK(std::abs(n - 300 / static_cast<int>(lengths)) < 36);
    }
  }
}

TEST_CASE("residual: decode() takes symbols row by row, some of them left out") {
  ResidualQuantizer quantizer = residual({.layers = 2});
  const Array a = draw(1350, {kK, kD}), b = draw(1351, {kK, kD});
  set_book(quantizer, "layers.0.", a);
  set_book(quantizer, "layers.1.", b);
  const Tensor index = index_tensor({3, -1, 0, -1, 5, 2, -1, -1}).reshape({2, 4});
  Array expected = ref::zeros({4, kD});
  for (int64_t d = 0; d < kD; ++d) {
    expected.at(0, d) = a.at(3, d) + b.at(5, d);
    expected.at(1, d) = b.at(2, d);
    expected.at(2, d) = a.at(0, d);
  }
  CHECK(error(quantizer.decode(index), expected) <= 1e-7);
}

// ---- a codebook for several ----

TEST_CASE("shared: one update in a step, from the vectors of all layers together") {
  ResidualQuantizer quantizer = residual({.layers = 3, .shared = true});
  CHECK(names_of(quantizer.named_buffers()) == std::vector<std::string>{"layers.codebook.weight",
                                                                        "layers.ema_cluster_size",
                                                                        "layers.ema_dw"});
  const Array e = draw(1360);
  Array codes = draw(1361, {kK, kD});
  for (int64_t k = 0; k < kK; ++k)  // some short ones, for the later layers
    for (int64_t d = 0; d < kD; ++d) codes.at(k, d) /= static_cast<double>(k + 1);
  codes = rounded(codes);
  set_book(quantizer, "layers.", codes);
  ref::Codebook expected = ref::warm_codebook(codes);
  for (int step = 0; step < 2; ++step) {
    const Layers layers = reference_layers(e, {expected.codes, expected.codes, expected.codes});
    Array all = ref::zeros({3 * kR, kD});
    Indices index;
    for (size_t l = 0; l < 3; ++l) {
      std::ranges::copy(layers.residual[l].data,
                        all.data.begin() + static_cast<int64_t>(l) * kR * kD);
      index.insert(index.end(), layers.index[l].begin(), layers.index[l].end());
    }
    expected = ref::ema_update(expected, all, index, 0.99, 1e-5);
    const TrainedPass out = pass(quantizer, e, true);
    CHECK(indices_of(out.index) == index);  // all layers search the codes from before the update
    CHECK(error(state_of(quantizer, "layers.codebook.weight").value(), expected.codes) <=
          kTolerance);
    CHECK(error(state_of(quantizer, "layers.ema_cluster_size").value(), expected.count) <= 1e-6);
    CHECK(indices_of(quantizer.counters().at(0).second) == Indices{step + 1});
  }
}

// A start from the latents alone would give no codes for the short vectors of later layers.
TEST_CASE("shared: layers start from the vectors of all of them") {
  ResidualQuantizer quantizer = residual({.layers = 2, .shared = true});
  const Array e = draw(1362, {8 * kK, kD});
  quantizer.start_from(to_tensor(e));
  VectorQuantizer alone(plain(), Estimator::ste, Rng(20), test_device());
  alone.start_from(to_tensor(e));
  const std::string first = bits_of(alone.codebook().weight().value());
  const Tensor left = ops::sub(to_tensor(e), alone(Variable(to_tensor(e)), false).codes);
  alone.start_from(ops::concat_rows({to_tensor(e), left}));
  const Tensor weight = state_of(quantizer, "layers.codebook.weight").value();
  CHECK((bits_of(weight) == bits_of(alone.codebook().weight().value())));
  CHECK((bits_of(weight) != first));
  CHECK((bits_of(state_of(quantizer, "layers.ema_dw").value()) == bits_of(weight)));
}

TEST_CASE("shared: dead codes become vectors of any layer") {
  CodebookOptions book = plain();
  book.dead_code_fraction = 0.1;
  book.decay = 0;
  ResidualQuantizer quantizer = residual({.layers = 2, .shared = true}, book);
  const Array e = draw(1363);
  Array codes = ref::zeros({kK, kD});  // one in use, so that all others are dead
  for (int64_t k = 1; k < kK; ++k) codes.at(k, 0) = 1000.0 + static_cast<double>(k);
  codes.at(0, 0) = 0.25;
  std::array<int, 2> of_layer{};
  for (int step = 0; step < 4; ++step) {
    set_book(quantizer, "layers.", codes);
    const Layers layers = reference_layers(e, {codes, codes});
    CHECK(indices_of(pass(quantizer, e, true).replaced) == Indices{kK - 1});
    const Array weight = to_array(state_of(quantizer, "layers.codebook.weight").value());
    for (int64_t k = 1; k < kK; ++k)
      for (size_t l = 0; l < 2; ++l)
        for (int64_t r = 0; r < kR; ++r)
          if (ref::relative_error(ref::row_of(weight, k), ref::row_of(layers.residual[l], r)) <=
              1e-6)
            ++of_layer[l];
  }
  CHECK(of_layer[0] > 0);
  CHECK(of_layer[1] > 0);
  CHECK(of_layer[0] + of_layer[1] == 4 * (kK - 1));
}

TEST_CASE("shared: groups update once too, and start from the columns of all") {
  GroupedQuantizer quantizer(2 * kD, 2, true, books(plain()));
  const Array e = draw(1370, {kR, 2 * kD}), codes = draw(1371, {kK, kD});
  set_book(quantizer, "groups.", codes);
  Array both = ref::zeros({2 * kR, kD});
  for (int64_t g = 0; g < 2; ++g)
    std::ranges::copy(ref::slice_columns(e, g * kD, (g + 1) * kD).data,
                      both.data.begin() + g * kR * kD);
  const Indices index = ref::nearest_code(both, codes);
  CHECK(indices_of(pass(quantizer, e, true).index) == index);
  const ref::Codebook expected =
      ref::ema_update(ref::warm_codebook(codes), both, index, 0.99, 1e-5);
  CHECK(error(state_of(quantizer, "groups.codebook.weight").value(), expected.codes) <= kTolerance);

  quantizer.start_from(to_tensor(e));
  VectorQuantizer alone(plain(), Estimator::ste, Rng(20), test_device());
  alone.start_from(to_tensor(both));
  CHECK((bits_of(state_of(quantizer, "groups.codebook.weight").value()) ==
         bits_of(alone.codebook().weight().value())));
}

// ---- groups ----

TEST_CASE("grouped: quantizers of their own on slices of the columns, bit for bit") {
  constexpr int64_t kGroups = 3;
  GroupedQuantizer grouped(kGroups * kD, kGroups, false, books(plain(), Estimator::rotation));
  const Array e = draw(1380, {kR, kGroups * kD}), g = draw(1381, {kR, kGroups * kD});
  std::vector<QuantizerPointer> parts;
  for (int64_t i = 0; i < kGroups; ++i) {
    parts.push_back(books(plain(), Estimator::rotation)(i));
    const Array codes = draw(1382 + static_cast<uint64_t>(i), {kK, kD});
    set_book(grouped, str("groups.", i, "."), codes);
    set_book(*parts.back(), "", codes);
  }
  for (int step = 0; step < 2; ++step) {  // the second with codebooks that have been updated
    const Variable leaf(to_tensor(e), true);
    const Quantized out = grouped(leaf, true);
    backward_with(out.value, to_tensor(g));
    double loss = 0;
    for (int64_t i = 0; i < kGroups; ++i) {
      CAPTURE(i);
      const auto columns = [&](const Tensor& x) { return ops::slice(x, i * kD, (i + 1) * kD); };
      const Variable slice(columns(to_tensor(e)), true);
      const Quantized part = (*parts[static_cast<size_t>(i)])(slice, true);
      backward_with(part.value, columns(to_tensor(g)));
      CHECK((bits_of(out.index.rows(i, i + 1)) == bits_of(part.index)));
      CHECK((bits_of(out.counts.rows(i, i + 1)) == bits_of(part.counts)));
      CHECK((bits_of(columns(out.value.value())) == bits_of(part.value.value())));
      CHECK((bits_of(columns(leaf.grad())) == bits_of(slice.grad())));
      for (const auto& [name, buffer] : parts[static_cast<size_t>(i)]->named_buffers())
        CHECK((bits_of(buffer.value()) ==
               bits_of(state_of(grouped, str("groups.", i, ".", name)).value())));
      loss += static_cast<double>(part.commitment_loss.item()) / kGroups;
    }
    CHECK(out.commitment_loss.item() == doctest::Approx(loss).epsilon(1e-6));
    CHECK(out.error.item() == doctest::Approx(loss).epsilon(1e-6));  // groups are equally wide
  }
}

TEST_CASE("grouped: every group starts from its own columns") {
  CodebookOptions options = plain();
  GroupedQuantizer grouped(2 * kD, 2, false, books(options));
  CHECK(grouped.start_rows() == 8 * kK);
  const Tensor rows = to_tensor(draw(1385, {60, 2 * kD}));
  grouped.start_from(rows);
  for (int64_t g = 0; g < 2; ++g) {
    const QuantizerPointer alone = books(options)(g);
    alone->start_from(ops::slice(rows, g * kD, (g + 1) * kD));
    CHECK((bits_of(state_of(grouped, str("groups.", g, ".codebook.weight")).value()) ==
           bits_of(state_of(*alone, "codebook.weight").value())));
  }
}

// ---- dead codes ----

TEST_CASE("composed: replaced codes of all parts are added up") {
  CodebookOptions options = plain();
  options.dead_code_fraction = 0.5;
  GroupedQuantizer grouped(2 * kD, 2, false, books(options));
  for (const char* name : {"groups.0.ema_cluster_size", "groups.1.ema_cluster_size"})
    set(grouped, name, {{kK}, {100, 100, 100, 100, 0, name[7] == '0' ? 0.0 : 100.0}});
  const Array far = ref::filled({kK, kD}, 50);  // the codes 1.. are never nearest
  for (const char* prefix : {"groups.0.", "groups.1."}) {
    Array codes = far;
    for (int64_t d = 0; d < kD; ++d) codes.at(0, d) = 0;
    set_book(grouped, prefix, codes);
  }
  CHECK(indices_of(pass(grouped, draw(1390, {kR, 2 * kD}), true).replaced) == Indices{3});
}

}  // namespace
}  // namespace versor::testing
