// Every option of a training run, the same names in every program. run_options.cpp has
// the command line and the presets; run_config.cpp the config.json of the run, whose hash is the
// key in the run folder's name.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "experiments/cli/options.h"
#include "vq/model.h"

namespace versor {

// As given on the command line. What a preset decides is optional: a flag of its own wins over it.
struct RunOptions {
  std::string preset = "versor";
  std::optional<std::string> estimator, owner, codebook_start, accumulators;
  std::optional<double> dead_codes, beta, decay, lr;
  std::optional<std::string> lr_schedule;
  std::optional<bool> ema_in_eval;
  std::optional<int64_t> codebook_dim, warmup;  // 0: without; warmup in steps

  std::string model = "vqvae";
  int64_t codes = 1024, latent = 256;  // of each level of the model
  // The quantizer; the defaults are the paper's, one learned codebook.
  std::string quantizer = "vq", levels = "8,5,5,5";
  int64_t groups = 1, layers = 1;
  bool shared_codebook = false, layer_dropout = false, cosine = false;
  double temperature = 0, soft_em = 0, orthogonality = 0, diversity = 0, entropy_weight = 0.1;
  int64_t batch_size = 128, epochs = 50;
  int64_t train_images = 0, test_images = 0;  // 0: all
  int64_t validation_images = 0;  // the last so many training images take the test images' place
  uint64_t seed = 1;
  std::string precision = "auto", device = "cpu";
  int threads = 0;                // 0: OpenMP's own choice
  std::string max_memory;         // "": what there is
  bool nondeterministic = false;  // allows algorithms whose bits may differ from run to run
  std::string data = "cifar10", data_dir;
};

// Adds the options of a run to a program, but for those that it sets itself ("--beta", ...).
void add_run_options(Options& app, RunOptions& options, const std::set<std::string>& without = {});

// Decides what was left open (preset, precision, threads) and refuses what cannot be: throws
// UsageError for wrong usage, Error where this build or machine lacks something.
// Afterwards no optional is empty. Its parts are for programs that make many runs: what the machine
// decides, once, with the device itself only where the precision is left to it; the device made
// ready; and what each run's preset decides.
void resolve(RunOptions& options);
void resolve_machine(RunOptions& options);
void prepare_device(RunOptions& options);
void apply_preset(RunOptions& options);

// Loads what --data and --data-dir name and cuts it to --train-images and --test-images.
DatasetPair load_data(const RunOptions& options);

// "test", or "validation" where held-back training images take the test images' place.
const char* evaluated_images(const RunOptions& options);

VqVaeOptions model_options(const RunOptions& options);
// The model that --model names, with these options.
std::unique_ptr<VqModel> make_model(const RunOptions& options, Device device, Rng rng);

// Every option that changes results, in a fixed order; `images` says which data in which order.
nlohmann::ordered_json config_of(const RunOptions& options, const DatasetPair& images);

// The model's and quantizer's options that differ from the paper's, by their names with
// underscores: part of the config only where they are used, so that the paper's runs keep their
// keys.
nlohmann::ordered_json unusual_options(const RunOptions& options);

// "published-rotation-k1024-d256-beta0.25-seed1-1a2b3c4d": readable, and 8 hex digits of the hash
// of the whole config.
std::string run_name(const nlohmann::ordered_json& config);

// What makes a run smaller than the paper's or another one than it ("2560 of 50000 training
// images"); empty if it has the paper's size: all of CIFAR-10, D 256, K as given, batch 128,
// learning rate 2e-4, decay 0.99, so many epochs.
std::vector<std::string> differences_from_paper(const nlohmann::ordered_json& config, int64_t codes,
                                                int64_t epochs);

}  // namespace versor
