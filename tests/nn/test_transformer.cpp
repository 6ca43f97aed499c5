// Attention and the transformer's block: values and gradients against the double reference, places
// that must not see each other, sampling place by place, and the block that a condition steers.
#include "nn/adam.h"
#include "nn/transformer.h"
#include "nn/weight_average.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

constexpr int64_t kSequences = 2, kPlaces = 5, kWidth = 6, kHeads = 3;

Array rows_of(const Array& x) {
  return {{x.count() / x.shape.back(), x.shape.back()}, x.data};
}

// The block in double precision, of the parameters by name.
class ReferenceBlock {
 public:
  ReferenceBlock(const TransformerBlock& block, bool causal) : attention_{kHeads, causal} {
    for (const auto& [name, parameter] : block.named_parameters())
      parameters_[name] = to_array(parameter.value());
  }
  std::map<std::string, Array>& parameters() { return parameters_; }

  Array operator()(const Array& x, const Array& condition = {}) const {
    const bool conditioned = condition.count() > 0;
    const Array all = conditioned ? linear(ref::silu(condition), "modulation") : Array{};
    // Element i of the condition's part `which` for every place; `otherwise` without a condition.
    const auto part = [&](int which, double otherwise) {
      Array p = ref::filled(x.shape, otherwise);
      for (int64_t i = 0; conditioned && i < x.count(); ++i)
        p[i] = all.at(i / (x.dim(1) * kWidth), which * kWidth + i % kWidth);
      return p;
    };
    const auto norm = [&](const Array& y, const std::string& name, int which) {
      const Array n{
          x.shape,
          ref::RowNorm(rows_of(y), 1e-5).value(at(name + ".weight"), at(name + ".bias")).data};
      return ref::add(ref::mul(n, ref::shift(part(which, 0), 1)), part(which + 1, 0));
    };
    const auto attended = [&](const Array& y) {
      const Array qkv{{x.dim(0), x.dim(1), 3 * kWidth}, linear(rows_of(y), "attention.qkv").data};
      return Array{x.shape, linear(rows_of(attention_.value(qkv)), "attention.proj").data};
    };
    const auto mlp = [&](const Array& y) {
      return Array{x.shape, linear(ref::gelu(linear(rows_of(y), "mlp.0")), "mlp.2").data};
    };
    const Array y = ref::add(x, ref::mul(part(2, 1), attended(norm(x, "norm1", 0))));
    return ref::add(y, ref::mul(part(5, 1), mlp(norm(y, "norm2", 3))));
  }

 private:
  const Array& at(const std::string& name) const { return parameters_.at(name); }
  Array linear(const Array& x, const std::string& name) const {
    return ref::linear(x, at(name + ".weight"), at(name + ".bias"));
  }

  ref::Attention attention_;
  std::map<std::string, Array> parameters_;
};

// Random values for all parameters, also those that begin as 0 or 1.
void randomize(const Module& module, Random& random) {
  for (const auto& [name, parameter] : module.named_parameters()) {
    Variable p = parameter;
    ops::copy(p.mutable_value(), to_tensor(random.array(ref_shape(p.shape()))));
  }
}

Tensor random_input(Random& random, int64_t places = kPlaces) {
  return to_tensor(random.array({kSequences, places, kWidth}));
}

TransformerOptions small(bool causal, bool conditioned = false) {
  return {.width = kWidth, .heads = kHeads, .causal = causal, .conditioned = conditioned};
}

}  // namespace

TEST_CASE("transformer: values and all gradients of a block, with and without mask and condition") {
  for (const bool causal : {false, true})
    for (const bool conditioned : {false, true}) {
      CAPTURE(causal);
      CAPTURE(conditioned);
      Random random(70);
      const TransformerBlock block(small(causal, conditioned), Rng(3), test_device());
      randomize(block, random);
      const Array x = rounded(random.array({kSequences, kPlaces, kWidth}));
      const Array c = conditioned ? rounded(random.array({kSequences, kWidth})) : Array{};
      const Array dy = rounded(random.array(x.shape));
      ReferenceBlock reference(block, causal);

      const Variable vx(to_tensor(x), true);
      const Variable vc = conditioned ? Variable(to_tensor(c), true) : Variable();
      const Variable y = block(vx, vc);
      CHECK(error(y.value(), reference(x, c)) <= kTolerance);
      backward_with(y, to_tensor(dy));
      const auto of_x = [&](const Array& v) { return reference(v, c); };
      CHECK(error(vx.grad(), ref::finite_difference(of_x, x, dy)) <= kTolerance);
      if (conditioned) {
        const auto of_c = [&](const Array& v) { return reference(x, v); };
        CHECK(error(vc.grad(), ref::finite_difference(of_c, c, dy)) <= kTolerance);
      }
      for (const auto& [name, parameter] : block.named_parameters()) {
        CAPTURE(name);
        Array& value = reference.parameters().at(name);
        const Array before = value;
        const auto of_parameter = [&](const Array& v) {
          value = v;
          return reference(x, c);
        };
        const Array expected = ref::finite_difference(of_parameter, before, dy);
        value = before;
        CHECK(error(parameter.grad(), expected) <= kTolerance);
      }
    }
}

TEST_CASE("transformer: a later place changes nothing before it, bit for bit, where it is causal") {
  for (const bool causal : {false, true}) {
    Random random(71);
    const TransformerBlock block(small(causal), Rng(3), test_device());
    const Array x = random.array({kSequences, kPlaces, kWidth});
    Array other = x;
    for (int64_t d = 0; d < kWidth; ++d) other[3 * kWidth + d] *= -2;  // place 3 of sequence 0
    const auto y = to_array(block(Variable(to_tensor(x))).value());
    const auto z = to_array(block(Variable(to_tensor(other))).value());
    for (int64_t t = 0; t < kSequences * kPlaces; ++t) {
      const bool sees = causal ? t == 3 || t == 4 : t < kPlaces;
      CAPTURE(t);
      CHECK((ref::row_of(rows_of(y), t).data != ref::row_of(rows_of(z), t).data) == sees);
    }
  }
}

TEST_CASE("transformer: place by place gives the numbers of the whole sequence") {
  Random random(72);
  TransformerBlock block({.width = kWidth, .heads = kHeads, .causal = true, .dropout = 0.5}, Rng(3),
                         test_device());
  block.set_training(false);
  const Tensor x = random_input(random);
  const Tensor whole = ops::permute(block(Variable(x)).value(), {1, 0, 2});
  const Tensor places = ops::permute(x, {1, 0, 2});
  KeyValueCache cache;
  for (int64_t t = 0; t < kPlaces; ++t) {
    const Tensor y = block.next(places.rows(t, t + 1).reshape({kSequences, kWidth}), cache);
    CHECK(cache.length == t + 1);
    CHECK(error(y, to_array(whole.rows(t, t + 1).reshape({kSequences, kWidth}))) <= kTolerance);
  }
}

TEST_CASE("transformer: with a condition a block begins as the identity; then it learns") {
  Random random(73);
  TransformerBlock block(small(false, true), Rng(3), test_device());
  const Tensor x = random_input(random), c = to_tensor(random.array({kSequences, kWidth}));
  CHECK((bits_of(block(Variable(x), Variable(c)).value()) == bits_of(x)));
  Adam adam(block.flat_parameters(), {.lr = 1e-2f});
  float first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    adam.zero_grad();
    const Variable loss = mse(block(Variable(x), Variable(c)), Variable(ops::scaled(x, 0.5f)));
    last = loss.item();
    if (step == 0) first = last;
    backward(loss);
    adam.step();
  }
  CHECK(last < 0.5f * first);
}

TEST_CASE("transformer: dropout in training only, from its own numbers; names of all state") {
  Random random(74);
  TransformerBlock block({.width = kWidth, .heads = kHeads, .dropout = 0.5}, Rng(3), test_device());
  const Variable x(random_input(random));
  const std::string first = bits_of(block(x).value());
  CHECK((bits_of(block(x).value()) != first));
  for (auto& [name, counter] : block.counters()) ops::fill(counter, 0);
  CHECK((bits_of(block(x).value()) == first));
  block.set_training(false);
  CHECK((bits_of(block(x).value()) == bits_of(block(x).value())));
  CHECK(names_of(block.named_parameters()) ==
        std::vector<std::string>{"norm1.weight", "norm1.bias", "attention.qkv.weight",
                                 "attention.qkv.bias", "attention.proj.weight",
                                 "attention.proj.bias", "norm2.weight", "norm2.bias",
                                 "mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"});
  CHECK(error_of([&] { block(x, x); }) == "[transformer block] has no use for a condition");
  CHECK(error_of([] { Attention(6, 4, true, Rng(1), test_device()); }) ==
        "[attention] a width of 6 is not a multiple of 4 heads");
}

TEST_CASE("weight average: a short memory at first, and it takes the weights' place and back") {
  Linear layer(2, 1, Rng(1), test_device());
  FlatParameters& flat = layer.flat_parameters();
  WeightAverage average(flat, 0.2);
  const Array before = to_array(layer.parameters()[0].value());
  Array expected = before;
  const auto set_weights = [&](double value) {
    Variable weight = layer.parameters()[0];
    ops::fill(weight.mutable_value(), static_cast<float>(value));
  };
  set_weights(2);
  average.update(0);  // d = 1/10
  for (double& v : expected.data) v = 0.1 * v + 0.9 * 2;
  set_weights(3);
  average.update(1);  // d = 2/11
  for (double& v : expected.data) v = 2.0 / 11 * v + 9.0 / 11 * 3;
  set_weights(4);
  average.update(5);  // d = 0.2, and not 6/15
  for (double& v : expected.data) v = 0.2 * v + 0.8 * 4;
  average.swap();
  CHECK(error(layer.parameters()[0].value(), expected) <= kTolerance);
  average.swap();
  CHECK(to_array(layer.parameters()[0].value()).data == std::vector<double>{4, 4});
  CHECK(error_of([&] { WeightAverage(flat, 1); }) ==
        "[weight average] the decay 1 is not in [0,1)");
}

}  // namespace versor::testing
