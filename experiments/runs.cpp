// Many runs: see runs.h.
#include "experiments/runs.h"

#include <fmt/format.h>

#include "experiments/program.h"
#include "experiments/run_folder.h"
#include "experiments/trainer.h"

namespace versor {

void add_many_runs_options(CLI::App& app, ManyRunsOptions& o) {
  add_run_options(app, o.run, /*several=*/true);
  app.add_option("--seeds", o.seeds, "one run per seed; separated by commas")
      ->delimiter(',')
      ->check(kSeedNumber);
  app.add_option("--results", o.results, "folder for runs and tables")->capture_default_str();
  app.add_flag("--list", o.list, "print a command for every run that is missing, and stop");
  app.add_flag("--quiet", o.quiet, "no progress");
}

Runs::Runs(const ManyRunsOptions& options) : options_(options) {
  if (options_.seeds.empty()) throw CLI::ValidationError("--seeds", "at least one is needed");
  resolve(options_.run);
  images_ = load_data(options_.run);
}

Run Runs::describe(double beta, uint64_t seed) const {
  Run run;
  run.options = options_.run;
  run.options.beta = beta;
  run.options.seed = seed;
  run.config = config_of(run.options, images_);
  run.folder = options_.results + "/runs/" + run_name(run.config);
  return run;
}

bool Runs::finished(const Run& run) const {
  return is_finished(run.folder, run.config);
}

bool Runs::complete(const Run& run) const {
  if (finished(run)) return true;
  if (!options_.quiet) fmt::print(stderr, "{}\n", run.folder);
  Trainer trainer(run.options, images_, {run.folder, options_.quiet, 0});
  return trainer.run() != TrainingEnd::interrupted;
}

std::string Runs::command(const Run& run) const {
  const RunOptions& o = run.options;
  std::string line = fmt::format(
      "bin/train --estimator {} --owner {} --codebook-start {} --accumulators {} --dead-codes {} "
      "--ema-in-eval {} --codes {} --latent {} --beta {} --decay {} --lr {} --batch-size {} "
      "--epochs {} --seed {} --precision {} --device {} --threads {} --data {}",
      *o.estimator, *o.owner, *o.codebook_start, *o.accumulators, *o.dead_codes,
      static_cast<int>(*o.ema_in_eval), o.codes, o.latent, o.beta, o.decay, o.lr, o.batch_size,
      o.epochs, o.seed, o.precision, o.device, o.threads, o.data);
  if (o.train_images > 0) line += fmt::format(" --train-images {}", o.train_images);
  if (o.test_images > 0) line += fmt::format(" --test-images {}", o.test_images);
  if (!o.data_dir.empty()) line += fmt::format(" --data-dir '{}'", o.data_dir);
  if (options_.quiet) line += " --quiet";
  return line + fmt::format(" --out '{}'", run.folder);
}

MetricsTable metrics_of(const Run& run) {
  return read_metrics(run.folder + "/metrics.csv");
}

std::string commit_of(const Run& run) {
  try {
    return nlohmann::json::parse(read_file(run.folder + "/config.json"))
        .at("commit")
        .get<std::string>();
  } catch (const nlohmann::json::exception& e) {
    fail("run", run.folder, "/config.json is malformed: ", e.what());
  }
}

}  // namespace versor
