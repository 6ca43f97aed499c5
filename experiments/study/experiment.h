// The frame of a program that reproduces a part of the paper. The program says which runs it needs
// and makes a section from them; training, resuming, --list and the files are the same for all.
//   Experiment e{.name = "table3", ...};  return run_experiment(argc, argv, e);
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "experiments/report/section.h"
#include "experiments/report/statistics.h"
#include "experiments/study/runs.h"

namespace versor {

// The runs of the same options with different seeds, whose mean a cell of a table shows.
struct Series {
  std::string label, preset;
  std::vector<Run> runs;  // one per seed, except those that failed

  // The run of the first seed. Throws Error if all runs failed.
  const Run& first() const;
  // Summarises a column of metrics.csv (or of another CSV of the run) after `epoch` epochs (0:
  // after the last) over the seeds; empty if all runs failed.
  Summary at(const std::string& column, int64_t epoch = 0,
             const std::string& file = "metrics.csv") const;
  // The column's mean over the seeds, epoch by epoch.
  std::vector<double> curve(const std::string& column,
                            const std::string& file = "metrics.csv") const;
};

// The runs of one experiment.
class Study {
 public:
  explicit Study(const ManyRunsOptions& options, Communicator& ranks = alone())
      : runs_(options, ranks) {}

  const Runs& runs() const { return runs_; }
  const ManyRunsOptions& options() const { return runs_.options(); }
  const std::deque<Series>& series() const { return series_; }
  const Series& find(const std::string& label, const std::string& preset) const;
  // The first run of a preset that did not fail; null if all failed.
  const Run* first_run(const std::string& preset) const;
  // The first run that did not fail. Throws Error if all failed.
  const Run& any_run() const;
  // Runs that failed, and why.
  const std::vector<std::string>& failures() const { return failures_; }

  // Adds a series: the command line's options, with a preset and the changes that `change` makes
  // where the command line has not decided. Only the first seed if `one_seed`.
  void add(const std::string& label, const std::string& preset,
           const std::function<void(RunOptions&)>& change = {}, bool one_seed = false);
  // Trains the missing runs. A run that fails is removed from its series, and the others go on.
  // Returns false if interrupted.
  bool complete();

 private:
  Runs runs_;
  std::deque<Series> series_;
  std::vector<std::string> failures_;
};

struct Experiment {
  const char *name, *summary;      // the name of its files; one line for --help
  std::set<std::string> own = {};  // options of a run that it sets itself: "--beta"
  std::vector<std::string> presets = {"published", "versor"};     // where --preset names no others
  std::function<void(Options&)> add_options = {};                 // of its own
  std::function<void(Study&)> plan = {};                          // adds the series
  std::function<void(const Study&, Section&)> fill_section = {};  // when all runs are there
  int64_t paper_codes = 1024, paper_epochs = 50;  // K (0: several) and epochs in the paper
};

// main() of such a program; writes the section and prints it. If runs failed, the section is made
// from the others and names the failed ones, and the exit code is 1. Several ranks train each run
// together, one after the other.
int run_experiment(int argc, char** argv, const Experiment& experiment);

}  // namespace versor
