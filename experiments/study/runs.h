// Runs as the rows of tables and the lines of figures: each is made if it is missing, resumed if it
// was interrupted, and read if it is there. Tables share runs through their folders' names.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/report/section.h"
#include "experiments/run/metrics.h"
#include "experiments/run/run_config.h"
#include "experiments/run/trainer.h"

namespace versor {

// The options shared by all programs that make many runs.
struct ManyRunsOptions {
  RunOptions run;
  std::vector<std::string> presets = {"published", "versor"};
  std::vector<uint64_t> seeds = {1, 2, 3};
  std::string results = "results";
  bool list = false, quiet = false, quick = false;
};
// `without`: the options that the program sets itself, as in add_run_options.
void add_many_runs_options(Options& app, ManyRunsOptions& options,
                           std::set<std::string> without = {});

struct Run {
  RunOptions options;
  std::shared_ptr<const nlohmann::ordered_json> config;
  std::string folder;
};

// With several ranks, all make this object; rank 0 then plans, trains and reads, and the others
// only train with it: they call serve() instead.
class Runs {
 public:
  // Resolves what the machine decides and loads the data, once for all runs.
  explicit Runs(const ManyRunsOptions& options, Communicator& ranks = alone());

  const ManyRunsOptions& options() const { return options_; }
  const DatasetPair& images() const { return images_; }
  // The run of these options, whose preset is applied here. A finished run that differs only in the
  // number of threads, and so only in the last digits of its results, is used instead.
  Run describe(RunOptions options) const;
  // Trains what is missing of the run. Returns false if interrupted. Throws Error if it fails,
  // alike on all ranks; if it fails on one, that ends them all.
  bool complete(const Run& run) const;
  // On the ranks above 0: trains the runs that rank 0 completes, until that dismisses them with the
  // exit code that it returns.
  int serve() const;
  void dismiss(int exit_code) const;
  // The shell command that trains just this run.
  std::string command(const Run& run) const;
  bool finished(const Run& run) const;

 private:
  TrainingEnd train(const Run& run) const;

  Communicator& ranks_;
  ManyRunsOptions options_;
  DatasetPair images_;
  ImagesIdentity identity_;
};

// How many images the pictures of a run with this config may show.
int64_t images_pictured(const nlohmann::ordered_json& config);

// How the run was made, according to its config.json and timing.csv.
RunRecord record_of(const Run& run);

}  // namespace versor
