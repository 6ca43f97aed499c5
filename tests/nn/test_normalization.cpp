// Layers that normalise, drop, pool or embed: names, values and gradients against the double
// reference, what changes between training and evaluation, and a small training that needs them
// all.
#include "nn/adam.h"
#include "nn/normalization.h"
#include "nn/safetensors.h"
#include "nn/sgd.h"
#include "tensor/replay.h"
#include "tests/data/temporary_folder.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using Names = std::vector<std::string>;
using ref::Array;
using ref::Random;

Array value_of(const Module& module, const std::string& name) {
  return to_array(state_of(module, name).value());
}

void set(const Module& module, const std::string& name, const Array& value) {
  Variable variable = state_of(module, name);
  ops::copy(variable.mutable_value(), to_tensor(value));
}

// The values of every channel as a row, [N,H,W,C] -> [C,N*H*W], and back.
Array channel_rows(const Array& x) {
  return ref::permute({{x.count() / x.dim(3), x.dim(3)}, x.data}, {1, 0});
}
Array channel_images(const Array& rows, const ref::Shape& shape) {
  return {shape, ref::permute(rows, {1, 0}).data};
}

}  // namespace

TEST_CASE("normalization: names, shapes and initial values are PyTorch's") {
  const LayerNorm layer(5, test_device());
  const GroupNorm group(2, 6, test_device());
  const BatchNorm2d batch(3, test_device());
  CHECK(names_of(layer.named_parameters()) == Names{"weight", "bias"});
  CHECK(names_of(group.named_parameters()) == Names{"weight", "bias"});
  CHECK(names_of(batch.named_parameters()) == Names{"weight", "bias"});
  CHECK(names_of(batch.named_buffers()) ==
        Names{"running_mean", "running_var", "num_batches_tracked"});
  CHECK(state_of(batch, "num_batches_tracked").shape() == Shape{});
  CHECK(value_of(layer, "weight").data == std::vector<double>(5, 1));
  CHECK(value_of(group, "bias").data == std::vector<double>(6, 0));
  CHECK(value_of(batch, "running_mean").data == std::vector<double>(3, 0));
  CHECK(value_of(batch, "running_var").data == std::vector<double>(3, 1));
  const Embedding embedding(4, 3, Rng(1), test_device());
  CHECK(names_of(embedding.named_parameters()) == Names{"weight"});
  CHECK(state_of(embedding, "weight").shape() == Shape{4, 3});
}

TEST_CASE("normalization: a batch norm in training and in evaluation") {
  Random random(60);
  BatchNorm2d norm(3, test_device());
  const Array weight = rounded(random.array({3})), bias = rounded(random.array({3}));
  set(norm, "weight", weight);
  set(norm, "bias", bias);
  Array mean = ref::zeros({3}), variance = ref::filled({3}, 1);
  const auto affine = [&](Array rows) {
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t i = 0; i < rows.dim(1); ++i) rows.at(c, i) = rows.at(c, i) * weight[c] + bias[c];
    return rows;
  };
  for (const ref::Shape& shape : {ref::Shape{4, 3, 5, 3}, {2, 1, 1, 3}}) {
    const Array x = rounded(random.array(shape, 1, 4)), dy = rounded(random.array(shape));
    const Variable input(to_tensor(x), true);
    for (Variable p : norm.parameters()) p.zero_grad();
    const Variable y = norm(input);
    const ref::RowNorm of_rows(channel_rows(x), 1e-5);
    CHECK(error(y.value(), channel_images(affine(of_rows.normalized), shape)) <= kTolerance);
    backward_with(y, to_tensor(dy));
    Array g = channel_rows(dy);
    const Array ones = ref::filled({g.dim(1)}, 1);
    CHECK(error(state_of(norm, "bias").grad(), ref::sum_axis1(g)) <= kTolerance);
    CHECK(error(state_of(norm, "weight").grad(), ref::sum_axis1(ref::mul(g, of_rows.normalized))) <=
          kTolerance);
    const Array dx = of_rows.gradient(ref::scale_rows(g, weight), ones);
    if (g.dim(1) > 2)  // of two values it is the rounding error of 0
      CHECK(error(input.grad(), channel_images(dx, shape)) <= kTolerance);
    const auto n = static_cast<double>(g.dim(1));
    for (int64_t c = 0; c < 3; ++c) {
      const Array row = ref::row_of(channel_rows(x), c);
      const double m = ref::mean(row), squares = ref::dot(row, row) - n * m * m;
      mean[c] = 0.9 * mean[c] + 0.1 * m;
      variance[c] = 0.9 * variance[c] + 0.1 * squares / (n - 1);
    }
  }
  CHECK(error(state_of(norm, "running_mean").value(), mean) <= kTolerance);
  CHECK(error(state_of(norm, "running_var").value(), variance) <= kTolerance);
  CHECK(state_of(norm, "num_batches_tracked").value().to_vector<int32_t>() ==
        std::vector<int32_t>{2});

  norm.set_training(false);
  const auto before = state_bits(norm);
  const Array x = rounded(random.array({1, 2, 1, 3}));
  Array rows = channel_rows(x);
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t i = 0; i < rows.dim(1); ++i)
      rows.at(c, i) = (rows.at(c, i) - mean[c]) / std::sqrt(variance[c] + 1e-5);
  CHECK(error(norm(Variable(to_tensor(x))).value(), channel_images(affine(rows), x.shape)) <=
        kTolerance);
  CHECK(state_bits(norm) == before);
  norm.set_training(true);
  CHECK(error_of([&] {
          norm(Variable(to_tensor(ref::zeros({1, 1, 1, 3}))));
        }) == "[batch_norm] one pixel has no variance to train with, got [1,1,1,3]");
}

TEST_CASE("normalization: dropout in training and in evaluation") {
  Sequential layers;
  layers.add<Dropout>("0", 0.5f, Rng(3), test_device());
  const Variable x(to_tensor(ref::filled({1000}, 1)), true);
  const Variable first = layers(x), second = layers(x);
  CHECK((bits_of(first.value()) != bits_of(second.value())));
  backward(sum(first));
  CHECK(
      (bits_of(x.grad()) == bits_of(first.value())));  // drawn again, although another was between
  layers.set_training(false);
  CHECK(layers(x).value().shares_storage_with(x.value()));
  CHECK(layers.named_buffers().empty());
  CHECK(error_of([] { Dropout(1.f, Rng(1), test_device()); }) ==
        "[dropout] the probability 1 is not in [0,1)");
  Dropout layer(0.5f, Rng(3), test_device());
  const std::string drawn = bits_of(layer(x).value());
  layer.counter().copy_from_host(std::vector<int32_t>{0}.data());
  CHECK((bits_of(layer(x).value()) == drawn));
}

TEST_CASE("layers: an embedding of indices of any shape, and what it refuses") {
  const Embedding embedding(4, 3, Rng(1), test_device());
  const Tensor index = index_tensor({1, 3, 1, 0, 2, 1}).reshape({2, 3});
  const Variable y = embedding(index);
  CHECK(y.shape() == Shape{2, 3, 3});
  const Array table = value_of(embedding, "weight");
  CHECK(to_array(y.value()).data == ref::gather_rows(table, {1, 3, 1, 0, 2, 1}).data);
  backward(sum(y));
  CHECK(error(state_of(embedding, "weight").grad(),
              {{4, 3}, {1, 1, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1}}) == 0);
  if (!on_other_device())
    CHECK(error_of([&] { embedding(index_tensor({4})); }) ==
          "[gather_rows] index 4 is outside the 4 rows");
  CHECK(error_of([] { flatten(Variable(empty({0, 3}))); }) == "[flatten] needs [N,...], got [0,3]");
  CHECK(error_of([] {
          global_avg_pool2d(Variable(empty({2, 3})));
        }) == "[global_avg_pool2d] needs images [N,H,W,C], got [2,3]");
}

TEST_CASE("optimizers: the learning rate of a step, and setting it") {
  AdamParams params;
  params.lr = 8;
  params.every = 3;
  params.gamma = 0.5f;
  CHECK(learning_rate(params, 1) == 8);
  CHECK(learning_rate(params, 3) == 8);
  CHECK(learning_rate(params, 4) == 4);
  CHECK(learning_rate(params, 7) == 2);
  params.warmup = 2;
  CHECK(learning_rate(params, 1) == 4);
  Variable w(to_tensor({{1}, {1}}), true);
  Sgd sgd(std::vector<Variable>{w}, {.lr = 0.5f});
  w.set_grad(to_tensor({{1}, {1}}));
  sgd.step();
  CHECK(w.value().item() == 0.5f);
  sgd.set_learning_rate(0.25f);
  sgd.step();
  CHECK(w.value().item() == 0.25f);
  Adam adam(std::vector<Variable>{w}, {.lr = 0.5f, .eps = 0});
  adam.set_learning_rate(0.125f);
  adam.step();
  CHECK(w.value().item() == doctest::Approx(0.125f));
}

namespace {

// Every kind of layer, for images [N,8,8,1] of three classes.
class Classifier final : public Module {
 public:
  explicit Classifier(Rng rng) {
    const Device device = test_device();
    layers_.add<Conv2d>("0", ConvOptions{.in = 1, .out = 6, .kernel = 3, .padding = 1},
                        rng.split(0), device);
    layers_.add<BatchNorm2d>("1", 6, device);
    layers_.add<Relu>("2");
    layers_.add<MaxPool2d>("3", 2);
    layers_.add<GroupNorm>("4", 2, 6, device);
    layers_.add<Gelu>("5");
    layers_.add<AvgPool2d>("6", 2);
    layers_.add<Flatten>("7");
    layers_.add<LayerNorm>("8", 24, device);
    layers_.add<Dropout>("9", 0.1f, rng.split(1), device);
    layers_.add<Linear>("10", 24, 3, rng.split(2), device);
    register_module("", layers_);
  }
  Variable operator()(const Tensor& images) const { return layers_(Variable(images)); }

 private:
  Sequential layers_;
};

// Class 0 has rows of stripes, class 1 columns, class 2 none; with noise.
std::pair<Tensor, Tensor> striped(Random& random, int64_t count) {
  Array images = random.array({count, 8, 8, 1}, -0.5, 0.5);
  ref::Indices labels = random.indices(count, 3);
  for (int64_t n = 0; n < count; ++n)
    for (int64_t h = 0; h < 8; ++h)
      for (int64_t w = 0; w < 8; ++w) {
        const int64_t label = labels[static_cast<size_t>(n)];
        if (label < 2) images.at(n, h, w, 0) += (label == 0 ? h : w) % 2 == 0 ? 1 : -1;
      }
  return {to_tensor(images), index_tensor(labels)};
}

}  // namespace

TEST_CASE("layers: a classifier of all of them learns, and is another after loading it") {
  Random random(61);
  Classifier model(Rng(7));
  const auto before = state_bits(model);
  Adam adam(model.flat_parameters(), {.lr = 1e-2f});
  std::vector<float> losses;
  const int steps = on_other_device() ? 8 : 40;  // our kernels on the CPU are slow
  for (int step = 0; step < steps; ++step) {
    const auto [images, labels] = striped(random, 24);
    adam.zero_grad();
    const Variable loss = cross_entropy(model(images), labels);
    losses.push_back(loss.item());
    backward(loss);
    adam.step();
  }
  for (const auto& entry : state_bits(model))
    CHECK_MESSAGE(before.at(entry.first) != entry.second, entry.first << " has not moved");
  const auto [images, labels] = striped(random, 60);
  model.set_training(false);
  const Tensor logits = model(images).value();
  CHECK(losses.back() < 0.8f * losses.front());
  if (!on_other_device()) CHECK(accuracy(logits, labels).item() >= 0.95f);

  const TemporaryFolder folder;
  write_safetensors(folder / "model.safetensors", {state_dict(model), {}});
  Classifier other(Rng(8));
  other.set_training(false);
  load_state_dict(other, read_safetensors(folder / "model.safetensors"), "model.safetensors");
  CHECK((bits_of(other(images).value()) == bits_of(logits)));
}

// The averages, the draws of the dropout and the labels are read on the device.
TEST_CASE("layers: a captured step of all of them ends with the bits of one that is not") {
  if (!on_other_device()) return;
  Random random(62);
  const auto [images, labels] = striped(random, 4);
  const auto trained = [images = images, labels = labels](bool capture) {
    Classifier model(Rng(7));
    Adam adam(model.flat_parameters());
    Backend& backend = backend_for(test_device());
    Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()), capture);
    for (int call = 0; call < 3; ++call)
      replay.run([&] {
        adam.zero_grad();
        backward(cross_entropy(model(images), labels));
        adam.step();
        adam.zero_grad();
      });
    CHECK(replay.captured() == capture);
    return state_bits(model);
  };
  CHECK(trained(true) == trained(false));
}

}  // namespace versor::testing
