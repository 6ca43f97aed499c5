// A whole training on the device under test, through the trainer: captured steps give the bits of
// steps that are called one by one, two runs are equal, the device follows the CPU, and a step that
// is not finite stops the run with the name of what went wrong.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "data/synthetic.h"
#include "experiments/cli/program.h"
#include "experiments/run/trainer.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/support.h"
#include "vq/ops.h"

namespace versor::testing {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// 14 images in batches of 6, 6 and 2; 5 test images: three shapes of batches, each of which comes
// three times or more: run directly, captured, replayed.
RunOptions tiny_run(Device device, Precision precision = Precision::fp32) {
  RunOptions o;
  o.latent = 8;
  o.codes = 16;
  o.batch_size = 6;
  o.epochs = 3;
  o.data.kind = DataKind::synthetic;
  o.train_images = 14;
  o.test_images = 5;
  o.device = device;
  o.precision = precision;
  o.seed = 3;
  return o;
}

struct Run {
  std::string metrics, weights, trainer;
  MetricsTable table;
  bool operator==(const Run& other) const {
    return metrics == other.metrics && weights == other.weights && trainer == other.trainer;
  }
};

Run train(RunOptions options, bool graph) {
  const TemporaryFolder folder;
  const std::string path = folder / "run";
  resolve(options);
  Trainer trainer(options, load_data(options), {.folder = path, .quiet = true, .graph = graph});
  CHECK(trainer.run() == TrainingEnd::finished);
  backend_for(options.device).configure({});  // strict again, for other tests
  return {content(path + "/metrics.csv"), content(path + "/model.safetensors"),
          content(path + "/trainer.safetensors"), read_metrics(path + "/metrics.csv")};
}

}  // namespace

// With branches too: tests/cuda_on_cpu.h runs them in the order that differs most from the
// program's.
TEST_CASE("training: captured steps give the bits of steps called one by one, and so do two runs") {
  struct Choice {
    Precision precision;
    Preset preset;
    ModelKind model;
    std::optional<Estimator> estimator = {};
    RotationOrigin origin = {};
  };
  constexpr Precision fp32 = Precision::fp32, bf16 = Precision::bf16;
  constexpr Preset versor = Preset::versor, published = Preset::published;
  constexpr ModelKind one = ModelKind::vqvae, two = ModelKind::vqvae2;
  for (const Choice& choice :
       {Choice{fp32, versor, one}, Choice{fp32, published, one}, Choice{bf16, versor, one},
        Choice{fp32, versor, two}, Choice{bf16, versor, two}, Choice{bf16, Preset::best, one},
        Choice{fp32, versor, one, Estimator::gumbel}, Choice{bf16, versor, one, Estimator::diveq},
        Choice{bf16, versor, one, Estimator::rotation, {.mean = true}}}) {
    RunOptions options = tiny_run(test_device(), choice.precision);
    options.preset = choice.preset;
    options.model = choice.model;
    options.estimator = choice.estimator;
    options.rotation_origin = choice.origin;
    if (choice.preset == Preset::best) options.shift = 2;  // and mirrors
    CAPTURE(train_command(options));
    const Run captured = train(options, true);
    CHECK(captured == train(options, false));
    CHECK(captured == train(options, true));
    const EnvironmentVariable branches("VERSOR_BRANCHES", "1");
    CHECK(captured == train(options, true));
  }
}

TEST_CASE("training: captured steps follow a change of the learning rate") {
  RunOptions options = tiny_run(test_device());
  options.epochs = 4;
  const Run plain = train(options, true);
  options.lr_at = {{2, 1e-2}, {4, 1e-3}};
  const Run changed = train(options, true);
  CHECK(changed == train(options, false));
  const auto losses = changed.table.column("train_recon_loss"),
             usual = plain.table.column("train_recon_loss");
  CHECK(losses[0] == usual[0]);
  CHECK(losses[1] != usual[1]);
}

// 14 images in batches of 6, 6 and 2, and replayed steps that read the images where the first step
// found them.
TEST_CASE("training: streamed images give the bits of resident ones") {
  RunOptions options = tiny_run(test_device());
  options.preset = Preset::best;  // mirrors
  options.shift = 2;
  const Run resident = train(options, true);
  options.feed = Feeding::streamed;
  CHECK(resident == train(options, true));
  CHECK(resident == train(options, false));
}

TEST_CASE("training: streamed images take the memory of batches only") {
  // As a mapped file: memory that is not the device's.
  const auto bytes = std::make_shared<std::vector<uint8_t>>(2000 * 3072);
  const Dataset set{Tensor::wrap(bytes->data(), {2000, 32, 32, 3}, DType::u8, {}, bytes),
                    std::vector<int32_t>(2000), "zeros"};
  MemoryPool& pool = backend_for(test_device()).pool();
  const size_t before = pool.current_bytes();
  pool.reset_peak();
  const Epoch epoch = Batcher(set, 4, test_device(), {}, Feeding::streamed).shuffled(Rng(1), 0);
  for (int64_t b = 0; b < 5; ++b) CHECK(epoch.batch(b).dim(0) == 4);
  CHECK(pool.peak_bytes() - before <
        200'000);  // a batch takes 12,288 bytes, in f32 four times that
}

// The published runs let test images update the codebook.
TEST_CASE("training: evaluation updates the codebook where ema_in_eval asks for it, else never") {
  for (const bool asked : {false, true}) {
    const TemporaryFolder folder;
    const std::string path = folder / "run";
    RunOptions options = tiny_run(test_device());
    options.epochs = 2;
    options.ema_in_eval = asked;
    resolve(options);
    const DatasetPair images = load_data(options);
    Trainer trainer(options, images, {.folder = path, .quiet = true});
    REQUIRE(trainer.run() == TrainingEnd::finished);
    const auto batches = [&](const Dataset& set) {
      return (set.size() + options.batch_size - 1) / options.batch_size;
    };
    const int64_t updates = 2 * (batches(images.train) + (asked ? batches(images.test) : 0));
    const auto state = read_safetensors(path + "/trainer.safetensors").tensors;
    CHECK(state.at("codebook.updates").to_vector<int32_t>() ==
          std::vector<int32_t>{static_cast<int32_t>(updates)});
  }
}

// Evaluation changes nothing, so the model in the file is the one that was evaluated.
TEST_CASE("training: the test metrics are those of the saved model on all test images") {
  const TemporaryFolder folder;
  const std::string path = folder / "run";
  RunOptions options = tiny_run(test_device());
  options.epochs = 1;
  options.test_images = 14;
  resolve(options);
  const DatasetPair images = load_data(options);
  Trainer trainer(options, images, {.folder = path, .quiet = true});
  REQUIRE(trainer.run() == TrainingEnd::finished);

  const auto made = make_model(options, 3, test_device(), Rng(0));
  VqModel& model = *made;
  load_state_dict(model, read_safetensors(path + "/model.safetensors"), path);
  model.set_training(false);
  const NoGradGuard no_grad;
  const Epoch epoch = Batcher(images.test, options.batch_size, test_device()).in_order();
  REQUIRE(epoch.batches() == 3);
  double reconstruction = 0, commitment = 0, perplexity = 0;
  std::set<int32_t> used;
  for (int64_t b = 0; b < 3; ++b) {
    const VqVaeOutput output = model(epoch.batch(b));
    reconstruction += ops::mse(output.reconstruction.value(), epoch.batch(b)).item() / 3;
    commitment += output.quantized().commitment_loss.value().item() / 3;
    perplexity += vq::perplexity(output.quantized().counts).item() / 3;
    for (int32_t k : output.quantized().index.to_vector<int32_t>()) used.insert(k);
  }
  const MetricsTable table = read_metrics(path + "/metrics.csv");
  CHECK(table.last("test_recon_loss") == doctest::Approx(reconstruction).epsilon(1e-6));
  CHECK(table.last("test_commitment_loss") == doctest::Approx(commitment).epsilon(1e-6));
  CHECK(table.last("test_perplexity") == doctest::Approx(perplexity).epsilon(1e-6));
  CHECK(table.last("test_codes_used") == static_cast<double>(used.size()));
}

// With a learning rate of 0 and a codebook that its gradient owns, nothing moves: batches of equal
// size have the same mean in every order, and with a smaller last batch the order shows.
TEST_CASE("training: an epoch has every image once, in an order of its own") {
  RunOptions options = tiny_run(test_device());
  options.lr = 0;
  options.learning = CodebookLearning::gradient;
  options.dead_codes = 0;
  const auto losses = [&](int64_t batch_size) {
    options.batch_size = batch_size;
    return train(options, true).table.column("train_recon_loss");
  };
  const std::vector<double> equal = losses(7), unequal = losses(6);
  for (size_t epoch : {1, 2}) {
    CHECK(equal[epoch] == doctest::Approx(equal[0]).epsilon(1e-6));
    CHECK(unequal[epoch] != doctest::Approx(unequal[0]).epsilon(1e-4));
  }
  CHECK(unequal[1] != doctest::Approx(unequal[2]).epsilon(1e-4));
}

TEST_CASE("training: the device follows the CPU" * doctest::skip(!on_other_device())) {
  const Run cpu = train(tiny_run({}), false), device = train(tiny_run(test_device()), true);
  for (const std::string& column : cpu.table.columns) {
    CAPTURE(column);
    const auto expected = cpu.table.column(column), value = device.table.column(column);
    for (size_t epoch = 0; epoch < expected.size(); ++epoch)
      CHECK(value[epoch] == doctest::Approx(expected[epoch]).epsilon(2e-3));
  }
}

TEST_CASE("training: a learning rate that throws the weights away is reported, not trained on") {
  for (bool graph : {false, true}) {
    const TemporaryFolder folder;
    RunOptions options = tiny_run(test_device());
    options.lr = 1e30;
    resolve(options);
    Trainer trainer(options, load_data(options),
                    {.folder = folder / "run", .quiet = true, .graph = graph});
    const std::string error = error_of([&] { trainer.run(); });
    CAPTURE(error);
    CHECK(contains(error, "not finite in step"));
    CHECK(contains(error, "of epoch 1"));
    CHECK(std::filesystem::exists(folder / "run/not-finite.safetensors"));
  }
}

TEST_CASE("training: what the last step of an epoch breaks is found in the evaluation") {
  const TemporaryFolder folder;
  RunOptions options = tiny_run(test_device());
  options.lr = 1e30;
  options.train_images = options.batch_size;  // one step
  resolve(options);
  Trainer trainer(options, load_data(options), {.folder = folder / "run", .quiet = true});
  CHECK(contains(error_of([&] { trainer.run(); }), "not finite in the evaluation of epoch 1"));
  CHECK_FALSE(std::filesystem::exists(folder / "run/metrics.csv"));
}

}  // namespace versor::testing
