// Trains a diffusion model of the latents of a trained model (experiments/generate/denoiser.h).
//   bin/diffusion results/runs/NAME     into results/runs/NAME/diffusion-seed1
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>

#include "data/batcher.h"
#include "experiments/cli/program.h"
#include "experiments/generate/denoiser.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/run/model_use.h"
#include "tensor/ops.h"

using namespace versor;

namespace {

constexpr float kWithoutClass = 0.1f;  // of the training images, for guidance
constexpr int64_t kMeasured = 1000;    // test images after an epoch, in passes of
constexpr int64_t kAtOnce = 100;

struct Asked {
  std::string model, out;
  std::string schedule = name_of(DiffusionOptions().schedule),
              predicted = name_of(DiffusionOptions().predicted);
  DenoiserOptions denoiser;
  bool classes = true, mirror = true, quiet = false;
  NetworkOptions network;
};

// Of the first images of a set.
struct Latents {
  Tensor values;  // [N,h,w,D]
  std::vector<int32_t> labels;

  Latents(const LoadedModel& loaded, const Dataset& set, int64_t count)
      : labels(set.labels.begin(), set.labels.begin() + count) {
    const int64_t batch = std::min(loaded.options.batch_size, set.size());
    const Epoch images = Batcher(set, batch, loaded.options.device).in_order();
    for (int64_t b = 0; b * batch < count; ++b) {
      const Tensor some = encode_latents(*loaded.model, images.batch(b));
      if (b == 0) values = like(some, count);
      Tensor here = values.rows(b * batch, std::min((b + 1) * batch, count));
      ops::copy(here, some.rows(0, here.dim(0)));
    }
  }
  static Tensor like(const Tensor& latents, int64_t count) {
    return Tensor({count, latents.dim(1), latents.dim(2), latents.dim(3)}, DType::f32,
                  latents.device());
  }
  void append(const Latents& others) {
    const auto flat = [](const Tensor& x) { return x.reshape({x.dim(0), x.numel() / x.dim(0)}); };
    values = ops::concat_rows({flat(values), flat(others.values)})
                 .reshape(like(values, values.dim(0) + others.values.dim(0)).shape());
    labels.insert(labels.end(), others.labels.begin(), others.labels.end());
  }
  Tensor at(const std::vector<int32_t>& index) const {
    const auto N = std::ssize(index);
    const Tensor rows = values.reshape({values.dim(0), values.numel() / values.dim(0)});
    return ops::gather_rows(rows, Tensor::from(index, {N}, values.device()))
        .reshape({N, values.dim(1), values.dim(2), values.dim(3)});
  }
};

class DiffusionTask final : public TrainingTask {
 public:
  // The network standardizes by the training latents.
  DiffusionTask(Denoiser& network, Latents train, Latents test)
      : network_(network), train_(std::move(train)), test_(std::move(test)) {
    network.standardize_by(train_.values);
    for (Latents* set : {&train_, &test_}) set->values = network.standardized(set->values);
  }

  Module& network() override { return network_; }
  int64_t examples() const override { return train_.values.dim(0); }

  Variable loss(const std::vector<int32_t>& examples, Rng rng) override {
    std::vector<int32_t> labels = labels_of(train_, examples);
    for (size_t i = 0; i < labels.size(); ++i)
      if (rng.uniform(i) < kWithoutClass) labels[i] = network_.no_class();
    return denoising_loss(network_, train_.at(examples), labels, rng.split(0)).total;
  }

  // With the same times and noise after every epoch.
  std::vector<std::pair<std::string, double>> measure() override {
    const int64_t count = test_.values.dim(0);
    double simple = 0, bound = 0;
    for (int64_t first = 0; first < count; first += kAtOnce) {
      std::vector<int32_t> examples(std::min(kAtOnce, count - first));
      std::iota(examples.begin(), examples.end(), first);
      const Diffusion::Loss loss = denoising_loss(network_, test_.at(examples),
                                                  labels_of(test_, examples), Rng(0).split(first));
      const double share = static_cast<double>(examples.size()) / static_cast<double>(count);
      simple += share * static_cast<double>(loss.simple.item());
      if (loss.bound.defined()) bound += share * static_cast<double>(loss.bound.item());
    }
    std::vector<std::pair<std::string, double>> all{{"test_loss", simple}};
    if (network_.diffusion().options().learned_variance)
      all.emplace_back("test_bits_per_dimension",
                       (bound + network_.diffusion().prior_loss(test_.values)) / std::numbers::ln2);
    return all;
  }

 private:
  std::vector<int32_t> labels_of(const Latents& set, const std::vector<int32_t>& examples) const {
    std::vector<int32_t> labels;
    for (const int32_t i : examples)
      labels.push_back(network_.options().classes > 0 ? set.labels[static_cast<size_t>(i)]
                                                      : network_.no_class());
    return labels;
  }

  Denoiser& network_;
  Latents train_, test_;
};

int train(const ModelUse& use, Asked asked) {
  const LoadedModel loaded = use.load(asked.model);
  asked.network.device = loaded.options.device;
  asked.network.threads = loaded.options.threads;
  const DatasetPair images = images_of(loaded);
  Latents train(loaded, images.train, images.train.size());
  if (asked.mirror) train.append(Latents(loaded, mirrored(images.train), images.train.size()));
  Latents test(loaded, images.test, std::min(kMeasured, images.test.size()));
  if (asked.classes) asked.denoiser.classes = class_count(images);
  asked.denoiser.latents = {train.values.dim(1), train.values.dim(2), train.values.dim(3)};
  Denoiser network(asked.denoiser, Rng(asked.network.seed).split(0), asked.network.device);
  nlohmann::ordered_json config = config_of(network.options());
  config["mirror"] = asked.mirror;
  config["first_stage"] = fingerprint_of_weights(asked.model);
  config.update(config_of(asked.network));
  if (asked.out.empty()) asked.out = folder_beside(loaded, "diffusion", asked.network.seed);
  if (!asked.quiet)
    fmt::print("{}: {} latents {}, {} parameters\n", asked.out, train.values.dim(0),
               str(network.options().latents), network.parameter_count());
  DiffusionTask task(network, std::move(train), std::move(test));
  return report_training(train_network(task, asked.network, config, asked.out, asked.quiet),
                         asked.out);
}

}  // namespace

int main(int argc, char** argv) {
  Options app(
      "Trains a diffusion model of the latents of a trained model: a transformer that removes "
      "noise.");
  Asked asked;
  asked.network.lr = 2e-3;
  app.add_option("model", asked.model, "a run's folder; its model has one level")->required();
  app.add_option("--out", asked.out, "the folder; default MODEL/diffusion-seedN");
  DenoiserOptions& o = asked.denoiser;
  app.add_option("--schedule", asked.schedule,
                 "of the noise: linear (Ho et al. 2020) or cosine (Nichol and Dhariwal 2021)")
      ->check(one_of(names_of<NoiseSchedule>()))
      ->capture_default_str();
  app.add_option("--prediction", asked.predicted,
                 "what the network predicts: x0, v (Salimans and Ho 2022), or the noise epsilon, "
                 "from which x0 hardly follows where the cosine schedule ends")
      ->check(one_of(names_of<Predicted>()))
      ->capture_default_str();
  app.add_flag("--learned-variance", o.diffusion.learned_variance,
               "the network predicts the variances, too (Nichol and Dhariwal 2021)");
  app.add_option("--layers", o.layers)->check(in_range(1, 64))->capture_default_str();
  app.add_option("--width", o.width, "of the network, a multiple of the heads")
      ->check(in_range(1, 4096))
      ->capture_default_str();
  app.add_option("--heads", o.heads)->check(in_range(1, 64))->capture_default_str();
  app.add_flag("!--no-classes", asked.classes, "the network does not know the images' classes");
  app.add_flag("!--no-mirror", asked.mirror, "train on the images alone, not also mirrored");
  app.add_flag("--quiet", asked.quiet, "no progress");
  add_network_options(app, asked.network);
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    if (o.width % o.heads != 0)
      throw UsageError("--width", fmt::format("{} is no multiple of {} heads", o.width, o.heads));
    o.diffusion.schedule = parse_name<NoiseSchedule>(asked.schedule);
    o.diffusion.predicted = parse_name<Predicted>(asked.predicted);
    return train(use, asked);
  });
}
