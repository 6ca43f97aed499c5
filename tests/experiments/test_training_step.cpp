// The training step as the trainer repeats it, and the errors of one_step() for files that do not
// fit.
#include <cmath>
#include <functional>
#include <limits>

#include "experiments/run/one_step.h"
#include "experiments/run/training_step.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/support.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

VqVaeOptions tiny_model(CodebookLearning owner = CodebookLearning::gradient) {
  VqVaeOptions options;
  options.quantizer.codebook.codes = 4;
  options.quantizer.codebook.latent = 4;
  options.quantizer.codebook.learning = owner;
  options.quantizer.codebook.start = CodebookStart::uniform;
  return options;
}

Tensor some_images() {
  return ops::uniform({2, 8, 8, 3}, Rng(5), -1.f, 1.f, {});
}

std::vector<std::string> gradients_of(const VqVae& model) {
  std::vector<std::string> bits;
  for (const auto& [name, p] : model.named_parameters()) {
    CAPTURE(name);
    REQUIRE(p.grad().defined());
    bits.push_back(bits_of(p.grad()));
  }
  return bits;
}

std::vector<std::string> values_of(const VqVae& model) {
  std::vector<std::string> bits;
  for (const auto& [name, p] : model.named_parameters()) bits.push_back(bits_of(p.value()));
  return bits;
}

// Weights and a batch for one_step() that fit each other: D 4, K 4.
struct Files {
  SafetensorsFile weights, batch;

  Files() {
    weights.tensors = state_dict(VqVae(tiny_model(), {}, Rng(3)));
    batch.tensors["images"] = ops::uniform({2, 3, 8, 8}, Rng(5), -1.f, 1.f, {});
  }
  std::string error(OneStepOptions options = {}) const {
    return error_of([&] { one_step(weights, "W.file", batch, "X.file", options, {}); });
  }
  std::string error_with_images(const Tensor& images) {
    batch.tensors["images"] = images;
    return error();
  }
};

}  // namespace

TEST_CASE("training step: gradients stay until the next step, which replaces them") {
  // Learning rate 0 and no EMA: the second step starts where the first one did.
  VqVae model(tiny_model(), {}, Rng(3));
  Adam adam(model.parameters(), {.lr = 0});
  training_step(model, adam, some_images(), 0.25f);
  const auto first = gradients_of(model);
  training_step(model, adam, some_images(), 0.25f);
  CHECK((gradients_of(model) == first));
  training_step(model, adam, some_images(), 2.f);
  CHECK((gradients_of(model) != first));
}

TEST_CASE("training step: moves every parameter once and reports the loss before it") {
  VqVae model(tiny_model(), {}, Rng(3));
  Adam adam(model.parameters(), {.lr = 0.01f});
  const auto before = values_of(model);
  const StepResult step = training_step(model, adam, some_images(), 0.5f);
  CHECK(step.loss().total.item() ==
        doctest::Approx(step.loss().reconstruction.item() +
                        step.output().quantized().codebook_loss.item() +
                        0.5 * step.output().quantized().commitment_loss.item())
            .epsilon(1e-6));
  const auto after = values_of(model);
  for (size_t i = 0; i < before.size(); ++i) CHECK((after[i] != before[i]));
  CHECK(adam.step_counter().to_vector<int32_t>() == std::vector<int32_t>{1});
  // Steps go downhill.
  float loss = step.loss().total.item();
  for (int i = 0; i < 20; ++i)
    loss = training_step(model, adam, some_images(), 0.5f).loss().total.item();
  CHECK(loss < 0.9 * step.loss().total.item());
}

TEST_CASE("training step: in bf16 one pass rounds all weights, to the bits of one pass for each") {
  VqVaeOptions options = tiny_model();
  options.activations = DType::bf16;
  VqVae model(options, {}, Rng(3)), other(options, {}, Rng(3));
  Adam adam(model.parameters(), {.lr = 0});
  Profile profile;
  training_step(model, adam, some_images(), 0.25f);
  const int64_t passes = profile.entries().at("cast").calls;
  profile.clear();
  backward(vqvae_loss(other(some_images()), some_images(), 0.25f).total);
  constexpr int64_t kConvolutions = 12;
  CHECK(profile.entries().at("cast").calls - passes == kConvolutions - 1);
  CHECK((gradients_of(model) == gradients_of(other)));
}

TEST_CASE("one_step: fitting files have no error, and all that is promised comes out") {
  const Files files;
  OneStepOptions options;
  options.learning = CodebookLearning::gradient;
  const SafetensorsFile out = one_step(files.weights, "W.file", files.batch, "X.file", options, {});
  CHECK(out.at("reconstruction", "").shape() == Shape{2, 3, 8, 8});
  CHECK(out.at("z_e", "").shape() == Shape{2, 4, 2, 2});
  CHECK(out.at("indices", "").shape() == Shape{2, 2, 2});
  CHECK(out.at("indices", "").dtype() == DType::i32);
  for (const char* name :
       {"loss", "reconstruction_loss", "codebook_loss", "commitment_loss", "perplexity"})
    CHECK(out.at(name, "").shape() == Shape{});
  size_t gradients = 0;
  for (const auto& [name, tensor] : files.weights.tensors) {
    CAPTURE(name);
    CHECK(out.at(name, "").shape() == tensor.shape());
    if (!out.tensors.contains("grad." + name)) continue;
    ++gradients;
    CHECK(out.at("grad." + name, "").shape() == tensor.shape());
  }
  CHECK(gradients == VqVae(tiny_model(), {}, Rng(0)).parameters().size());
}

TEST_CASE("one_step: the depth of the network is that of the file") {
  VqVaeOptions deep = tiny_model();
  deep.downsampling = 8;
  deep.image_channels = 1;
  Files files;
  files.weights.tensors = state_dict(VqVae(deep, {}, Rng(3)));
  files.batch.tensors["images"] = ops::uniform({2, 1, 8, 16}, Rng(5), -1.f, 1.f, {});
  const SafetensorsFile out = one_step(files.weights, "W.file", files.batch, "X.file", {}, {});
  CHECK(out.at("reconstruction", "").shape() == Shape{2, 1, 8, 16});
  CHECK(out.at("z_e", "").shape() == Shape{2, 4, 1, 2});
  CHECK(contains(files.error_with_images(ops::zeros({2, 1, 12, 8})), "multiples of 8"));
  files.weights.tensors["encoder.4.weight"] = ops::zeros({4, 4, 3, 3});
  CHECK(contains(files.error(), "W.file: encoder.4.weight has the shape [4,4,3,3]"));
}

TEST_CASE("one_step: a missing tensor is named with its file") {
  for (const char* name : {"encoder.0.weight", "encoder.2.bias", "encoder.4.conv1.weight",
                           "decoder.4.bias", "codebook.weight", "ema_cluster_size", "ema_dw"}) {
    CAPTURE(name);
    Files files;
    files.weights.tensors.erase(name);
    const std::string error = files.error();
    CHECK(contains(error, "W.file"));
    CHECK(contains(error, name));
  }
  Files files;
  files.batch.tensors.clear();
  CHECK(contains(files.error(), "X.file"));
  CHECK(contains(files.error(), "images"));
}

TEST_CASE("one_step: a tensor of another shape, or one too many, is named with its file") {
  for (const char* name : {"encoder.0.weight", "encoder.2.weight", "encoder.4.conv1.weight",
                           "decoder.4.weight", "codebook.weight", "ema_cluster_size", "ema_dw"}) {
    for (const Shape& shape : {Shape{3}, Shape{5, 3}, Shape{5, 3, 2, 2}, Shape{}}) {
      CAPTURE(name);
      CAPTURE(str(shape));
      Files files;
      if (files.weights.at(name, "").shape() == shape) continue;
      files.weights.tensors[name] = ops::uniform(shape, Rng(1), -1.f, 1.f, {});
      CHECK(contains(files.error(), "W.file"));
    }
  }
  Files files;
  files.weights.tensors["encoder.9.weight"] = files.weights.tensors["encoder.2.weight"];
  CHECK(contains(files.error(), "W.file"));
  CHECK(contains(files.error(), "encoder.9.weight"));
}

TEST_CASE("one_step: weights of integers are named with their file") {
  for (const char* name : {"encoder.0.weight", "encoder.2.bias", "codebook.weight", "ema_dw"}) {
    for (DType type : {DType::i32, DType::u8}) {
      Files files;
      const Shape shape = files.weights.at(name, "").shape();
      files.weights.tensors[name] = ops::zeros(shape, {}, type);
      CHECK(files.error() == str("[one_step] W.file: ", name, " is ", type, " ", shape,
                                 ", floating-point numbers are needed"));
    }
  }
}

TEST_CASE("one_step: the first element that is not finite is named with its file") {
  const auto changed = [](const Tensor& tensor, std::vector<int64_t> places, float value) {
    std::vector<float> values = tensor.to_vector<float>();
    for (int64_t place : places) values[place] = value;
    return Tensor::from(values, tensor.shape());
  };
  for (const auto& [value, word] : {std::pair(NAN, "nan"), std::pair(-NAN, "nan"),
                                    std::pair(-INFINITY, "-inf"), std::pair(INFINITY, "inf")}) {
    Files files;  // images [2,3,8,8], codebook [4,4]
    const Tensor images = files.batch.at("images", "");
    CHECK(files.error_with_images(changed(images, {3 * 64 + 64 + 8 + 7, 383}, value)) ==
          str("[one_step] X.file: images[1,1,1,7] is ", word));
    files = Files();
    Tensor& codebook = files.weights.tensors["codebook.weight"];
    codebook = changed(codebook, {6}, value);
    CHECK(files.error() == str("[one_step] W.file: codebook.weight[1,2] is ", word));
    files = Files();
    Tensor& bias = files.weights.tensors["decoder.4.bias"];
    bias = changed(bias, {2}, value);
    CHECK(files.error() == str("[one_step] W.file: decoder.4.bias[2] is ", word));
  }
}

TEST_CASE("one_step: images of a wrong size, rank or type are named with their file") {
  const auto uniform = [](const Shape& shape) {
    return ops::uniform(shape, Rng(1), -1.f, 1.f, {});
  };
  const Tensor wrong[] = {uniform({2, 3, 30, 30}),
                          uniform({2, 3, 32, 30}),
                          uniform({2, 3, 30, 32}),
                          uniform({2, 32, 32, 3}),
                          uniform({2, 1, 32, 32}),
                          uniform({3, 32, 32}),
                          uniform({3072}),
                          Tensor::from(std::vector<int32_t>(2 * 3 * 8 * 8, 0), {2, 3, 8, 8}),
                          Tensor({0, 3, 32, 32}, DType::f32)};
  for (const Tensor& images : wrong) {
    CAPTURE(str(images.shape()));
    const std::string error = Files().error_with_images(images);
    CHECK(contains(error, "X.file"));
    CHECK(contains(error, "images"));
    CHECK(contains(error, str(images.shape())));
  }
  CHECK(Files().error_with_images(uniform({1, 3, 4, 12})) == "");
}

TEST_CASE("one_step: at least one step") {
  OneStepOptions options;
  options.steps = 0;
  CHECK(contains(Files().error(options), "at least 1"));
}

TEST_CASE("training step: a NaN in the encoder's residual blocks reaches the loss") {
  VqVaeOptions options;
  options.quantizer.codebook.latent = 8;
  options.quantizer.codebook.codes = 4;
  const Tensor images = ops::uniform({2, 8, 8, 3}, Rng(1), -1.f, 1.f);
  const auto names = VqVae(options, {}, Rng(2)).named_parameters();
  for (const auto& [name, unused] : names) {
    if (!name.starts_with("encoder.4") && !name.starts_with("encoder.5")) continue;
    if (!contains(name, "conv2")) continue;  // the library's ReLU after conv1 may hide a NaN
    CAPTURE(name);
    VqVae model(options, {}, Rng(2));
    for (auto& [other, parameter] : model.named_parameters())
      if (other == name)
        ops::fill(parameter.mutable_value(), std::numeric_limits<float>::quiet_NaN());
    const VqVaeOutput output = model(images);
    CHECK(std::isnan(vqvae_loss(output, images, 0.25f).total.item()));
  }
}

TEST_CASE("training step: a level whose latents are not finite is named, and nothing moves") {
  for (const char* broken : {"encoder_top.2.conv2.bias", "join_bottom.bias"}) {
    VqVae2 model(tiny_model(CodebookLearning::ema), {}, Rng(10));
    Adam adam(model.parameters(), {});
    for (auto [name, parameter] : model.named_parameters())
      if (name == broken) ops::fill(parameter.mutable_value(), std::nanf(""));
    const auto state = [&] {
      std::string all;
      for (const auto& [name, tensor] : state_dict(model)) all += bits_of(tensor);
      return all;
    };
    const std::string before = state();
    FiniteGuard guard(ops::full({1}, 5.f, {}, DType::i32));
    training_step(model, adam, some_images(), 0.25f, &guard);
    const auto found = guard.found();
    REQUIRE(found.has_value());
    CHECK(found->step == 5);
    CHECK(found->tensor ==
          (contains(broken, "top") ? "top encoder output" : "bottom encoder output"));
    CHECK((state() == before));
  }
}

}  // namespace versor::testing
