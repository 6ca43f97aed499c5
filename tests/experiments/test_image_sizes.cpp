// Trainings on images that are not 32 x 32 and coloured: grey, not square, large with a deeper
// network; and what is said where images and network do not fit.
#include <filesystem>

#include "experiments/run/trainer.h"
#include "experiments/study/evaluation.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/data/temporary_folder.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Images of the given size [M,H,W,C]: noise in 256 steps.
Dataset noise_set(const Shape& shape, uint64_t seed = 1) {
  const Tensor noise = ops::uniform(shape, Rng(seed), 0.f, 255.f, {});
  return {ops::cast(noise, DType::u8), std::vector<int32_t>(static_cast<size_t>(shape[0])), "noise",
          true};
}

DatasetPair noise_pair(int64_t height, int64_t width, int64_t channels) {
  return {noise_set({6, height, width, channels}), noise_set({3, height, width, channels}, 2)};
}

RunOptions tiny_run() {
  RunOptions o;
  o.latent = o.codes = 8;
  o.batch_size = 3;
  o.epochs = 1;
  o.threads = 1;
  o.precision = Precision::fp32;
  return o;
}

TEST_CASE("image sizes: training, pictures and evaluation of images of any size") {
  struct Case {
    int64_t height, width, channels, downsampling;
    ModelKind model;
    double symbols;
  };
  for (const Case& c : {Case{28, 28, 1, 4, ModelKind::vqvae, 49},
                        {16, 40, 3, 8, ModelKind::vqvae, 10},
                        {128, 128, 3, 16, ModelKind::vqvae, 64},
                        {48, 16, 1, 8, ModelKind::vqvae2, 12 + 3}}) {
    CAPTURE(c.height);
    const TemporaryFolder folder;
    const std::string run = folder / "run";
    const DatasetPair images = noise_pair(c.height, c.width, c.channels);
    RunOptions options = tiny_run();
    options.downsampling = c.downsampling;
    options.model = c.model;
    resolve(options);
    REQUIRE(Trainer(options, images, {.folder = run, .quiet = true}).run() ==
            TrainingEnd::finished);
    const MetricsTable metrics = read_metrics(run + "/metrics.csv");
    CHECK(metrics.last("test_nominal_bits_per_image") == doctest::Approx(3 * c.symbols));
    for (const char* file : {"reconstructions.png", "snapshots/epoch-0001.png", "gradients.csv"})
      CHECK(std::filesystem::file_size(run + "/" + file) > 100);

    const auto model = make_model(options, c.channels, {}, Rng(0));
    const std::string weights = run + "/model.safetensors";
    load_state_dict(*model, read_safetensors(weights), weights);
    const Evaluation found = evaluate(*model, images.test, 2, {}, std::nullopt);
    CHECK(found.one_pass.mse == doctest::Approx(metrics.last("test_recon_loss")).epsilon(1e-5));
    CHECK(found.one_pass.psnr == doctest::Approx(metrics.last("test_psnr")).epsilon(1e-5));
  }
}

// Before anything is written.
TEST_CASE("image sizes: images that the network cannot take are refused with option and size") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const auto error_with = [&](const DatasetPair& images, int64_t downsampling, ModelKind model) {
    RunOptions options = tiny_run();
    options.downsampling = downsampling;
    options.model = model;
    const std::string error = error_of([&] { Trainer(options, images, {.folder = run}); });
    CHECK_FALSE(std::filesystem::exists(run));
    return error;
  };
  CHECK(error_with(noise_pair(28, 28, 1), 8, ModelKind::vqvae) ==
        "[data] --downsampling 8 needs images whose height and width are multiples of 8, but those "
        "of noise have 28 x 28 pixels");
  CHECK(contains(error_with(noise_pair(32, 36, 3), 4, ModelKind::vqvae2),
                 "--downsampling 4 with --model vqvae2 needs images whose height and width are "
                 "multiples of 8"));
  CHECK(contains(
      error_with({noise_set({6, 16, 16, 3}), noise_set({3, 16, 16, 1})}, 4, ModelKind::vqvae),
      "[3,16,16,1], differ in size from those of noise, [6,16,16,3]"));
}

}  // namespace
}  // namespace versor::testing
