// Runs as the rows of tables and the lines of figures: each is made if it is missing, resumed if it
// was interrupted, and read if it is there. Tables share runs through their folders' names.
#pragma once

#include <string>
#include <vector>

#include "experiments/metrics.h"
#include "experiments/run_options.h"

namespace versor {

// Options that all programs which make many runs have.
struct ManyRunsOptions {
  RunOptions run;
  std::vector<uint64_t> seeds = {1, 2, 3};
  std::string results = "results";
  bool list = false, quiet = false;
};
void add_many_runs_options(CLI::App& app, ManyRunsOptions& options);

struct Run {
  RunOptions options;
  nlohmann::ordered_json config;
  std::string folder;
};

class Runs {
 public:
  // Resolves the options and loads the data, once for all runs.
  explicit Runs(const ManyRunsOptions& options);

  const DatasetPair& images() const { return images_; }
  Run describe(double beta, uint64_t seed) const;
  // Trains what is missing. False if it was interrupted.
  bool complete(const Run& run) const;
  // The shell command that makes this run alone.
  std::string command(const Run& run) const;
  bool finished(const Run& run) const;

 private:
  ManyRunsOptions options_;
  DatasetPair images_;
};

MetricsTable metrics_of(const Run& run);
// The commit that a run was made with, as its config.json says.
std::string commit_of(const Run& run);

}  // namespace versor
