// Trains a small classifier of images, whose features judge samples (experiments/generate/).
//   bin/classifier --data-dir ...     into results/classifier-seed1
#include "experiments/generate/classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/cli/program.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"
#include "experiments/run/run_folder.h"
#include "tensor/backend.h"
#include "tensor/ops.h"

using namespace versor;

namespace {

struct Asked {
  std::string out, results = "results", like;
  RunOptions images;  // and device and threads
  ClassifierOptions classifier;
  int64_t mirror = 1, shift = 3;
  bool quiet = false;
  NetworkOptions network;
  Asked() {
    network.epochs = 6;
    network.batch_size = 128;
    network.lr = 3e-3;
    network.weight_decay = 0.02;
    network.average = 0.99;
  }
};

class ClassifierTask final : public TrainingTask {
 public:
  ClassifierTask(Classifier& network, const DatasetPair& images, const Asked& asked)
      : network_(network),
        images_(images),
        asked_(asked),
        pixels_(images.train.images.to(asked.network.device)) {}

  Module& network() override { return network_; }
  int64_t examples() const override { return images_.train.size(); }

  // Of images that are mirrored and shifted at random, as data/batcher.h does.
  Variable loss(const std::vector<int32_t>& examples, Rng rng) override {
    const auto N = std::ssize(examples);
    const Device device = asked_.network.device;
    const auto shifted = [&](uint32_t bits) {
      return static_cast<int32_t>(bits % (2 * asked_.shift + 1) - asked_.shift);
    };
    std::vector<int32_t> labels, moves;
    for (int64_t i = 0; i < N; ++i) {
      labels.push_back(images_.train.labels[examples[i]]);
      const auto bits = rng.block(i);
      const auto mirrored = static_cast<int32_t>(asked_.mirror == 1 ? bits[0] >> 31 : 0);
      moves.insert(moves.end(), {mirrored, shifted(bits[1]), shifted(bits[2])});
    }
    const Tensor x = ops::gather_images(pixels_, Tensor::from(examples, {N}, device), {}, N, N,
                                        2.f / 255.f, -1.f);
    const Tensor moved = ops::move_images(x, Tensor::from(moves, {N, 3}, device), {}, N);
    return cross_entropy(network_.logits(network_.features(Variable(moved))),
                         Tensor::from(labels, {N}, device));
  }

  std::vector<std::pair<std::string, double>> measure() override {
    const Classified test = classify(network_, images_.test, asked_.network.device);
    return {{"test_loss", test.loss}, {"test_accuracy", test.accuracy}};
  }

 private:
  Classifier& network_;
  const DatasetPair& images_;
  const Asked& asked_;
  Tensor pixels_;  // u8 [N,H,W,C] on the device
};

int train(Asked& asked) {
  if (!asked.like.empty()) {
    const std::string config = asked.like + "/config.json";
    take_source(asked.images, source_in(config), config);
  }
  resolve_machine(asked.images);
  prepare_device(asked.images);
  asked.network.device = asked.images.device;
  asked.network.threads = asked.images.threads;
  const DatasetPair images = load_data(asked.images);
  const Shape& shape = images.train.images.shape();
  if (asked.shift >= std::min(shape[1], shape[2]))
    throw UsageError("--shift", fmt::format("{} is not smaller than the images, {} x {} pixels",
                                            asked.shift, shape[1], shape[2]));
  asked.classifier.channels = shape[3];
  asked.classifier.classes = class_count(images);
  check(asked.classifier.classes > 1, "classifier", "the images of ", images.train.title(),
        " have no classes, and features come from telling them apart");
  Classifier network(asked.classifier, Rng(asked.network.seed).split(0), asked.network.device);
  const ImagesIdentity identity = identity_of(images);
  nlohmann::ordered_json config = config_of(asked.classifier);
  config["mirror"] = asked.mirror;
  config["shift"] = asked.shift;
  config["data"] = identity.name;
  config["data_fingerprint"] = identity.hash;
  config["train_images"] = identity.train;
  config["test_images"] = identity.test;
  config.update(config_of(asked.network));
  if (asked.out.empty())
    asked.out = fmt::format("{}/classifier-seed{}", asked.results, asked.network.seed);
  if (!asked.quiet)
    fmt::print("{}: {} of {}, {} classes, {} parameters\n", asked.out, identity.train,
               images.train.title(), asked.classifier.classes, network.parameter_count());
  ClassifierTask task(network, images, asked);
  return report_training(train_network(task, asked.network, config, asked.out, asked.quiet),
                         asked.out);
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Trains a small classifier of images, whose features judge samples.");
  Asked asked;
  app.add_option("--out", asked.out, "its folder; default RESULTS/classifier-seedN");
  app.add_option("--like", asked.like, "a run's folder: images from where its images came from");
  app.add_option("--results", asked.results)->capture_default_str();
  app.add_option("--width", asked.classifier.width, "a quarter of the number of features")
      ->check(in_range(1, 1024))
      ->capture_default_str();
  app.add_option("--mirror", asked.mirror, "mirror half of the training images (0 or 1)")
      ->check(in_range(0, 1))
      ->capture_default_str();
  app.add_option("--shift", asked.shift, "shift each training image by up to so many pixels")
      ->check(in_range(0, 1 << 10))
      ->capture_default_str();
  app.add_flag("--quiet", asked.quiet, "no progress");
  add_network_options(app, asked.network);
  for (const char* option :
       {"--device", "--threads", "--max-memory", "--data", "--data-dir", "--size", "--channels",
        "--test-fraction", "--train-images", "--test-images"})
    add_run_option(app, asked.images, option);
  return run_program(app, argc, argv, [&] { return train(asked); });
}
