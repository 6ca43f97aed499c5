// Use of a trained model: see model_use.h.
#include "experiments/run/model_use.h"

#include <nlohmann/json.hpp>

#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"

namespace versor {

ModelUse::ModelUse(Options& app) : app_(app) {
  for (const char* option :
       {"--device", "--precision", "--threads", "--max-memory", "--data", "--data-dir"})
    add_run_option(app, asked_, option);
}

LoadedModel ModelUse::load(const std::string& path, bool on_cpu) const {
  return load_model(path, [&](RunOptions& options) {
    if (on_cpu) {
      options.device = {};
      if (options.precision == Precision::tf32) options.precision = Precision::fp32;
    }
    if (app_.given("--device")) options.device = asked_.device;
    if (app_.given("--precision")) options.precision = asked_.precision;
    if (app_.given("--threads")) options.threads = asked_.threads;
    if (app_.given("--data")) options.data = asked_.data;
    if (app_.given("--data-dir")) options.data_dir = asked_.data_dir;
    options.max_memory = asked_.max_memory;
  });
}

Dataset images_of(const LoadedModel& loaded, RunImages which) {
  RunOptions options = loaded.options;
  const DatasetPair images = load_data(options);
  check(loaded.config->value("data_fingerprint", "") == identity_of(images).hash, "images",
        loaded.path, " is of a run on other images than those that were read (--data, --data-dir)");
  if (which == RunImages::train) return images.train;
  if (which == RunImages::test && options.validation_images > 0) {
    options.validation_images = options.test_images = 0;
    return load_data(options).test;
  }
  if (which == RunImages::validation && options.validation_images == 0)
    throw UsageError("--images", "the run has no validation images");
  return images.test;
}

}  // namespace versor
