// The quantizers against vector-quantize-pytorch: tests/golden/quantizers.safetensors, whose
// tensors are explained in tests/golden/README.md. Where ours differs on purpose the test says how,
// and pins our values.
#include <numeric>

#include "nn/safetensors.h"
#include "tests/reference_family.h"
#include "tests/vq/support.h"
#include "vq/fsq.h"
#include "vq/lfq.h"
#include "vq/losses.h"
#include "vq/residual.h"
#include "vq/simvq.h"
#include "vq/vector_quantizer.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Indices;

// One group of the file; names omit the group.
class Golden {
 public:
  explicit Golden(std::string group) : group_(std::move(group)) {}

  Array array(const std::string& name) const { return to_array(at(name)); }
  double number(const std::string& name) const { return array(name).data.at(0); }
  Indices indices(const std::string& name) const { return indices_of(at(name)); }
  Tensor tensor(const std::string& name) const { return to_tensor(array(name)); }
  Variable leaf(const std::string& name) const { return Variable(tensor(name), true); }

 private:
  const Tensor& at(const std::string& name) const {
    static const SafetensorsFile file = read_safetensors("tests/golden/quantizers.safetensors");
    return file.at(group_ + "." + name, "quantizers.safetensors");
  }
  std::string group_;
};

void set(const Module& module, const std::string& name, const Array& value) {
  Variable state = state_of(module, name);
  ops::copy(state.mutable_value(), to_tensor(value));
}

// The gradient of sum(g * y) that arrives at `leaf`.
Array gradient_of(const Variable& y, const Tensor& g, const Variable& leaf) {
  backward_with(y, g);
  return to_array(leaf.grad());
}

void check_near(const Array& found, const Array& expected, double tolerance = kTolerance) {
  CHECK(ref::relative_error(found, expected) <= tolerance);
}
void check_near(const Variable& found, const Array& expected) {
  check_near(to_array(found.value()), expected);
}

// x[l], without the first axis.
Array part_of(const Array& x, int64_t l) {
  Array y = ref::zeros({x.shape.begin() + 1, x.shape.end()});
  std::copy_n(x.data.begin() + l * y.count(), y.count(), y.data.begin());
  return y;
}

// [R,L] -> symbols of layer after layer.
Indices by_layers(const Indices& index, size_t layers) {
  Indices all;
  for (size_t l = 0; l < layers; ++l)
    for (size_t i = l; i < index.size(); i += layers) all.push_back(index[i]);
  return all;
}

CodebookOptions book_of(const Array& codes, double decay = 0.8) {
  return {.codes = codes.dim(0), .latent = codes.dim(1), .decay = decay, .dead_code_fraction = 0};
}

TEST_CASE("golden quantizers: rotation") {
  const Golden golden("rotation");
  const Variable e = golden.leaf("e");
  const Variable value = pass_through(e, golden.tensor("q"), Estimator::rotation);
  CHECK(to_array(value.value()).data == golden.array("q").data);  // the package: up to rounding
  check_near(value, golden.array("value"));
  check_near(gradient_of(value, golden.tensor("g"), e), golden.array("grad_e"));
}

// Three training steps of a group like `ema`, names with `prefix`.
void check_ema(const Golden& golden, const std::string& prefix, const CodebookOptions& options) {
  VectorQuantizer quantizer(options, Estimator::ste, Rng(1), test_device());
  set(quantizer, "codebook.weight", golden.array("codebook"));
  set(quantizer, "ema_dw", golden.array("codebook"));
  for (int step = 1; step <= 3; ++step) {
    const std::string at = str(prefix, "step", step, ".");
    CAPTURE(at);
    const TrainedPass out = train(quantizer, golden.leaf(str("batch", step)));
    CHECK(indices_of(out.index) == golden.indices(at + "indices"));
    CHECK(out.commitment_loss.item() ==
          doctest::Approx(golden.number(at + "commitment")).epsilon(1e-5));
    check_near(quantizer.codebook().codes(), golden.array(at + "codebook"));
    check_near(state_of(quantizer, "ema_cluster_size"), golden.array(at + "cluster_size"));
    check_near(state_of(quantizer, "ema_dw"), golden.array(at + "embed_avg"));
  }
}

TEST_CASE("golden quantizers: moving averages, two decays") {
  const Golden golden("ema");
  check_ema(golden, "decay80.", book_of(golden.array("codebook"), 0.8));
  check_ema(golden, "decay99.", book_of(golden.array("codebook"), 0.99));
}

TEST_CASE("golden quantizers: moving averages of unit vectors") {
  const Golden golden("ema_cosine");
  CodebookOptions options = book_of(golden.array("codebook"));
  options.cosine = true;
  check_ema(golden, "", options);
  VectorQuantizer quantizer(options, Estimator::ste, Rng(1), test_device());
  set(quantizer, "codebook.weight", golden.array("codebook"));
  const Variable e = golden.leaf("batch1");
  const Quantized out = quantizer(e, false);
  check_near(out.value, golden.array("value"));
  check_near(gradient_of(out.value, golden.tensor("g"), e), golden.array("grad_e"));
}

TEST_CASE("golden quantizers: k-means; an empty cluster") {
  const Golden golden("kmeans");
  const Tensor points = golden.tensor("points");
  for (int iterations : {1, 10})
    check_near(to_array(kmeans_from(golden.tensor("start"), points, iterations, Rng(1))),
               golden.array(str("iterations", iterations, ".means")));
  // Row 3 is far away. The package keeps it so in kmeans(), but its codebook then starts with the
  // zero vector instead; ours takes a data point at once.
  const Array start = golden.array("start_empty");
  const Array theirs = golden.array("empty.iterations1.means");
  CHECK(ref::row_of(theirs, 3).data == ref::row_of(start, 3).data);
  CHECK(ref::norm(ref::row_of(golden.array("empty.init.codebook"), 3)) == 0);
  const Array ours = to_array(kmeans_from(to_tensor(start), points, 1, Rng(1)));
  const Array data = golden.array("points");
  CHECK(ref::row_of(data, ref::nearest_code(ours, data)[3]).data == ref::row_of(ours, 3).data);
  for (int64_t k = 0; k < 8; ++k)
    if (k != 3) check_near(ref::row_of(ours, k), ref::row_of(theirs, k));
}

TEST_CASE("golden quantizers: fsq") {
  const Golden golden("fsq");
  using Case = std::pair<std::string, std::vector<int64_t>>;
  for (const auto& [at, levels] :
       {Case{"8_5_5_5.", {8, 5, 5, 5}}, {"4_4_4_4_4.", {4, 4, 4, 4, 4}}}) {
    CAPTURE(at);
    FiniteScalarQuantizer quantizer(levels, Estimator::ste, Rng(1), test_device());
    check_near(to_array(quantizer.grid()), golden.array(at + "codebook"), 1e-7);
    const Variable z = golden.leaf(at + "z");
    const Quantized out = quantizer(z, true);
    CHECK(indices_of(out.index) == golden.indices(at + "indices"));
    check_near(out.value, golden.array(at + "value"));
    check_near(gradient_of(out.value, golden.tensor(at + "g"), z), golden.array(at + "grad_z"));
  }
}

// For two levels ours is the symmetric form; for three levels both forms agree but for the factor 1
// + 1e-3. (Nothing uses two levels in the other form, fsq.3_2.)
TEST_CASE("golden quantizers: fsq with two levels") {
  const Golden golden("fsq_symmetric");
  FiniteScalarQuantizer quantizer({3, 2}, Estimator::ste, Rng(1), test_device());
  check_near(to_array(quantizer.grid()), golden.array("3_2.codebook"), 1e-7);
  const Variable z = golden.leaf("3_2.z");
  const Quantized out = quantizer(z, true);
  CHECK(indices_of(out.index) == golden.indices("3_2.indices"));
  check_near(out.value, golden.array("3_2.value"));
  Array gradient = gradient_of(out.value, golden.tensor("3_2.g"), z);
  for (int64_t r = 0; r < gradient.dim(0); ++r) gradient.at(r, 0) /= 1.001;
  check_near(gradient, golden.array("3_2.grad_z"));
}

TEST_CASE("golden quantizers: lfq and bsq with their entropy loss") {
  const Golden golden("lfq");
  // The package's logarithms stop at 1e-5: values up to 1e-5, gradients up to 4e-5 lower.
  constexpr double kClamped = 1e-4;
  for (const std::string kind : {"default", "spherical"})
    for (int inverse : {10, 100})
      for (const auto& [gamma, gamma_name] : {std::pair(1.0, "gamma1."), {2.5, "gamma2.5."}}) {
        const std::string at = str(kind, ".temperature", inverse, ".");
        CAPTURE(at + gamma_name);
        SignQuantizer quantizer({.bits = 5,
                                 .spherical = kind == "spherical",
                                 .entropy_weight = 0.1,
                                 .gamma = gamma,
                                 .temperature = 1.0 / inverse},
                                Estimator::ste, Rng(1), test_device());
        Variable x = golden.leaf("x");
        Quantized out = quantizer(x, true);
        CHECK(indices_of(out.index) == golden.indices(kind + ".indices"));
        check_near(out.value, golden.array(kind + ".value"));
        check_near(gradient_of(out.value, golden.tensor("g"), x), golden.array(kind + ".grad_x"));
        CHECK(out.auxiliary_loss.item() ==
              doctest::Approx(golden.number(at + gamma_name + "loss")).epsilon(kClamped));
        x = golden.leaf("x");
        backward(quantizer(x, true).auxiliary_loss);
        check_near(to_array(x.grad()), golden.array(at + gamma_name + "loss_grad_x"), kClamped);
      }
}

TEST_CASE("golden quantizers: simvq") {
  const Golden golden("simvq");
  for (const auto& [estimator, name] :
       {std::pair(Estimator::rotation, "rotation"), {Estimator::ste, "ste"}}) {
    CAPTURE(std::string(name));
    SimVectorQuantizer quantizer(12, 6, estimator, Rng(1), test_device());
    set(quantizer, "frozen", golden.array("frozen"));
    set(quantizer, "transform.weight", golden.array("weight"));
    Indices all(12);
    std::iota(all.begin(), all.end(), 0);
    check_near(to_array(quantizer.decode(index_tensor(all).reshape({1, 12}))),
               golden.array("codes"));
    Variable e = golden.leaf("e");
    const Quantized out = quantizer(e, true);
    CHECK(indices_of(out.index) == golden.indices("indices"));
    check_near(out.value, golden.array(str("value_", name)));
    check_near(gradient_of(out.value, golden.tensor("g"), e), golden.array(str("grad_e_", name)));
    const Variable weight = state_of(quantizer, "transform.weight");
    CHECK_FALSE(weight.grad().defined());  // it learns from the loss alone
    const Variable loss = out.codebook_loss + 0.25f * out.commitment_loss;
    CHECK(loss.item() == doctest::Approx(golden.number("loss")).epsilon(1e-5));
    e.zero_grad();
    backward(loss);
    check_near(to_array(weight.grad()), golden.array("loss_grad_weight"));
    check_near(to_array(e.grad()), golden.array("loss_grad_e"));
  }
}

// A residual quantizer with these books [L,K,D], or with a single one [K,D] for all layers.
std::unique_ptr<ResidualQuantizer> residual(const Array& books, int64_t layers,
                                            Estimator estimator) {
  const bool shared = books.shape.size() == 2;
  const CodebookOptions options = book_of(shared ? books : part_of(books, 0));
  auto quantizer = std::make_unique<ResidualQuantizer>(
      ResidualOptions{.layers = layers, .shared = shared, .estimator = estimator},
      [&](int64_t) {
        return std::make_unique<VectorQuantizer>(options, Estimator::ste, Rng(1), test_device());
      },
      Rng(1), test_device());
  for (int64_t l = 0; l < (shared ? 1 : layers); ++l)
    for (const char* name : {"codebook.weight", "ema_dw"})
      set(*quantizer, (shared ? std::string("layers.") : str("layers.", l, ".")) + name,
          shared ? books : part_of(books, l));
  return quantizer;
}

TEST_CASE("golden quantizers: residual") {
  const Golden golden("residual");
  const Array g = golden.array("g");
  using Case = std::tuple<std::string, int64_t, Estimator>;
  for (const auto& [name, layers, estimator] : {Case{"", 3, Estimator::ste},
                                                {"rotation.", 3, Estimator::rotation},
                                                {"one.", 1, Estimator::ste}}) {
    CAPTURE(name);
    const auto quantizer = residual(golden.array("codebooks"), layers, estimator);
    const Variable x = golden.leaf("x");
    const Quantized out = (*quantizer)(x, true);
    CHECK(indices_of(out.index) ==
          by_layers(golden.indices(name + "indices"), static_cast<size_t>(layers)));
    check_near(out.value, golden.array(name + "value"));
    // The package returns a loss per layer; ours is their mean.
    CHECK(out.commitment_loss.item() ==
          doctest::Approx(ref::mean(golden.array(name + "losses"))).epsilon(1e-5));
    // In the package every layer passes a gradient on, straight through 3 g together; ours passes
    // that of one quantizer from x to the sum.
    const Array theirs = golden.array(name + "grad_x");
    const Array ours = gradient_of(out.value, golden.tensor("g"), x);
    if (estimator == Estimator::ste) {
      check_near(theirs, ref::scale(g, static_cast<double>(layers)), 1e-6);
      CHECK(ours.data == g.data);
    } else {
      CHECK(ref::relative_error(theirs, ours) > 0.5);
      check_near(ours, ref::estimator_gradient(ref::Estimator::rotation, golden.array("x"),
                                               golden.array(name + "value"), g));
    }
    Variable again = golden.leaf("x");
    backward((*quantizer)(again, true).commitment_loss);
    check_near(to_array(again.grad()),
               ref::scale(golden.array(name + "loss_grad_x"), 1.0 / static_cast<double>(layers)));
  }
  const auto training = residual(golden.array("codebooks"), 3, Estimator::ste);
  train(*training, golden.leaf("x"));
  for (int64_t l = 0; l < 3; ++l)
    for (const auto& [ours, theirs] : {std::pair("codebook.weight", "ema.codebook"),
                                       {"ema_cluster_size", "ema.cluster_size"},
                                       {"ema_dw", "ema.embed_avg"}})
      check_near(state_of(*training, str("layers.", l, ".", ours)),
                 part_of(golden.array(theirs), l));
}

TEST_CASE("golden quantizers: residual with one codebook for all layers") {
  const Golden golden("residual_shared");
  const Array book = golden.array("codebook"), x = golden.array("x");
  const auto quantizer = residual(book, 3, Estimator::ste);
  const TrainedPass out = train(*quantizer, golden.leaf("x"));
  const Indices index = by_layers(golden.indices("indices"), 3);
  CHECK(indices_of(out.index) == index);
  check_near(out.value, golden.array("value"));
  CHECK(out.commitment_loss.item() ==
        doctest::Approx(ref::sum(golden.array("losses")) / 3).epsilon(1e-5));
  // The package's averages take a step for each layer, so codes of early layers and unused ones
  // decay more; ours take one, from the vectors of all layers.
  Array all = ref::zeros({60, 6}), left = x;
  for (int64_t l = 0; l < 3; ++l) {
    std::ranges::copy(left.data, all.data.begin() + l * 120);
    left = ref::sub(left,
                    ref::gather_rows(book, {index.begin() + l * 20, index.begin() + (l + 1) * 20}));
  }
  const ref::Codebook ours = ref::ema_update(ref::warm_codebook(book), all, index, 0.8, 1e-5);
  check_near(state_of(*quantizer, "layers.codebook.weight"), ours.codes);
  check_near(state_of(*quantizer, "layers.ema_cluster_size"), ours.count);
  CHECK(ref::relative_error(golden.array("ema.cluster_size"), ours.count) > 0.05);
}

TEST_CASE("golden quantizers: orthogonality") {
  const Golden golden("losses");
  const Variable codes = golden.leaf("orthogonal.codebook");
  const Variable loss = orthogonality_loss(codes);
  CHECK(loss.item() == doctest::Approx(golden.number("orthogonal.loss")).epsilon(1e-5));
  backward(loss);
  check_near(to_array(codes.grad()), golden.array("orthogonal.grad_codebook"));
}

// |e_r - c_k|, not squared: the package's scores, [R,K].
Variable distances(const Variable& e, const Variable& codes) {
  const int64_t R = e.shape()[0], K = codes.shape()[0];
  const Variable of_e = reshape(sum_axis1(square(e)), {R, 1});
  const Variable ones(to_tensor(ref::filled({1, K}, 1)));
  const Variable twice_products = linear(e, scale(codes, 2), scale(sum_axis1(square(codes)), -1));
  return sqrt(sub(matmul(of_e, ones), twice_products));
}

TEST_CASE("golden quantizers: diversity, of all rows together") {
  const Golden golden("losses");
  for (int inverse : {10, 100}) {
    const std::string at = str("diversity.temperature", inverse, ".");
    CAPTURE(at);
    // Ours is the package's loss, from its probabilities, plus log K, so that it is 0 at best. Its
    // own probabilities use squared distances.
    const Variable x = golden.leaf("diversity.x"), codes = golden.leaf("diversity.codebook");
    const Variable p = softmax(scale(distances(rows(x), codes), -static_cast<float>(inverse)));
    const Variable loss = diversity_loss(p);
    CHECK(loss.item() - std::log(10.0) ==
          doctest::Approx(golden.number(at + "rows.loss")).epsilon(1e-5));
    backward(loss);
    check_near(to_array(x.grad()), golden.array(at + "rows.grad_x"), 1e-4);  // clamped, see lfq
    check_near(to_array(codes.grad()), golden.array(at + "rows.grad_codebook"), 1e-4);
    // The package averages over the batch alone if there are positions; ours has rows only.
    CHECK(std::abs(golden.number(at + "positions.loss") - golden.number(at + "rows.loss")) > 1e-3);
  }
}

TEST_CASE("golden quantizers: diveq") {
  const Golden golden("diveq");
  const Variable e = golden.leaf("e"), codes = golden.leaf("codebook");
  CHECK(ref::nearest_code(golden.array("e"), golden.array("codebook")) ==
        golden.indices("indices"));
  const Variable q = gather_rows(codes, index_tensor(golden.indices("indices")));
  const Tensor noise = ops::scaled(golden.tensor("noise"), static_cast<float>(std::sqrt(5e-3)));
  const Variable value = diveq_value(e, q, ops::add(ops::sub(q.value(), e.value()), noise));
  check_near(value, golden.array("value"));
  backward_with(value, golden.tensor("g"));
  check_near(to_array(e.grad()), golden.array("grad_e"));
  check_near(to_array(codes.grad()), golden.array("grad_codebook"));
}

// The package scores by -d/t, and the softmax of its gradient has no noise; ours scores by -d^2/t
// and differentiates softmax(scores + noise), as Jang et al. do. What they have in common is the
// value, and how a gradient reaches e from given probabilities y.
TEST_CASE("golden quantizers: gumbel") {
  const Golden golden("gumbel");
  const Array e_values = golden.array("e"), code_values = golden.array("codebook"),
              g = golden.array("g"), noise = golden.array("noise");
  for (const auto& [t, name] : {std::pair(1.0, "temperature1.0."), {0.5, "temperature0.5."}}) {
    const std::string at = name;
    CAPTURE(at);
    const Indices index = golden.indices(at + "indices");
    Variable e = golden.leaf("e"), codes = golden.leaf("codebook");
    const Tensor q = ops::gather_rows(codes.value(), index_tensor(index));
    const Variable theirs = softmax(scale(distances(e, codes), static_cast<float>(-1 / t)));
    const Variable value = gumbel_value(theirs, codes, q);
    CHECK(to_array(value.value()).data == golden.array(at + "value").data);
    backward_with(value, to_tensor(g));
    check_near(to_array(e.grad()), golden.array(at + "grad_e"));
    // Codes: the package's value is onehot C, ours is differentiated as y C.
    Array share = to_array(theirs.value());
    for (int64_t r = 0; r < 20; ++r) share.at(r, index[static_cast<size_t>(r)]) -= 1;
    check_near(to_array(codes.grad()),
               ref::add(golden.array(at + "grad_codebook"), ref::matmul(share, g, true, false)));

    // Ours as a whole: other codes are drawn and the gradient differs, although the noise is the
    // same.
    e = golden.leaf("e"), codes = golden.leaf("codebook");
    const Variable noisy = code_logits(e, codes, t) + Variable(golden.tensor("noise"));
    const auto y = [&, t = t](const Array& x, const Array& c) {
      return ref::code_probabilities(x, c, t, noise);
    };
    const auto mixture = [&](const Array& x, const Array& c) {
      return ref::matmul(y(x, c), c, false, false);
    };
    const Indices ours = indices_of(ops::argmax(noisy.value()));
    CHECK(ours == ref::argmax(y(e_values, code_values)));
    CHECK(ours != index);
    backward_with(gumbel_value(softmax(noisy), codes, q), to_tensor(g));
    const auto of_e = [&](const Array& x) { return mixture(x, code_values); };
    const auto of_codes = [&](const Array& c) { return mixture(e_values, c); };
    check_near(to_array(e.grad()), ref::finite_difference(of_e, e_values, g));
    check_near(to_array(codes.grad()), ref::finite_difference(of_codes, code_values, g));
  }
}

}  // namespace
}  // namespace versor::testing
