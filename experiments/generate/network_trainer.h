// Trains a network whose loss is a mean over examples: a prior over symbols, a denoiser of latents,
// a classifier. (The VQ-VAE has its own trainer, run/trainer.h.) AdamW with a warmup and half a
// cosine, gradients clipped by their global norm, and an average of the weights, which is what is
// measured and used. A run is a folder:
//   config.json        what identifies the run; the folder refuses another
//   metrics.csv        a row an epoch: epoch, train_loss, and what the task measures
//   timing.csv         a row an epoch: seconds of training and of measuring
//   model.safetensors  the averaged weights, with the config in its metadata
//   snapshots/N.safetensors  the same after N epochs, where they were asked for
//   trainer.safetensors      what it needs to resume; it is replaced atomically
// A run that is interrupted resumes and ends with the same bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/run/model_file.h"
#include "experiments/run/trainer.h"
#include "nn/module.h"
#include "nn/safetensors.h"

namespace versor {

struct NetworkOptions {
  int64_t epochs = 30, batch_size = 64;
  double lr = 1e-3;
  int64_t warmup = 100;  // steps, at most a tenth of all
  double weight_decay = 0.01;
  double clip = 1;  // largest global norm of the gradients; 0: none
  // The average of the weights after a step: a = average * a + (1 - average) * w, with a shorter
  // memory in the first steps; 0: none.
  double average = 0.999;
  bool snapshots = false;  // after 1/16, 1/8, 1/4 and 1/2 of the epochs, and all
  uint64_t seed = 1;
  // The program takes them from the options of a run, --device and --threads, once resolved.
  Device device;
  int threads = 0;
};
// --epochs, --batch-size, --lr and so on; the values in `options` are the defaults.
void add_network_options(Options& app, NetworkOptions& options);
// What of them identifies a run; a program adds what it has of its own.
nlohmann::ordered_json config_of(const NetworkOptions& options);

class TrainingTask {
 public:
  virtual ~TrainingTask() = default;
  virtual Module& network() = 0;
  virtual int64_t examples() const = 0;  // of training
  // The mean loss of some of them, given by number. All random numbers follow from `rng`, which
  // differs from step to step.
  virtual Variable loss(const std::vector<int32_t>& examples, Rng rng) = 0;
  // What is measured after an epoch, with the averaged weights in the network, set to evaluate. The
  // names are the columns of metrics.csv, the same in each epoch.
  virtual std::vector<std::pair<std::string, double>> measure() = 0;
  // Counters that a checkpoint must hold besides parameters and buffers (Dropout's).
  virtual std::vector<std::pair<std::string, Tensor>> counters() { return {}; }
};

// Where a network trained on a model's symbols or latents lies by default: "prior-seed1" in the
// folder of the model's file.
std::string folder_beside(const LoadedModel& model, const char* task, uint64_t seed);

// Trains what is missing of the run in `folder`. Afterwards the network has the averaged weights
// and is set to evaluate. Ctrl-C finishes the step, saves and returns `interrupted`. Throws Error
// for a loss or a measured number that is not finite, and where RunFolder does.
TrainingEnd train_network(TrainingTask& task, const NetworkOptions& options,
                          const nlohmann::ordered_json& config, const std::string& folder,
                          bool quiet = false);

// Prints how it ended, with the last row of metrics.csv; returns the program's exit code.
int report_training(TrainingEnd end, const std::string& folder);

// The config that a trained network's file was written with: `path` is the file or its folder.
// Throws Error naming the file if it is damaged or was not written by train_network.
nlohmann::ordered_json network_config(const std::string& path);
// How many of its config's epochs it was trained for.
int64_t trained_epochs(const std::string& path);
// Copies its tensors into the network and sets that to evaluate. Throws Error naming those that do
// not fit.
void load_network(Module& network, const std::string& path);

}  // namespace versor
