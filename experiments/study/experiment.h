// The frame of a program that reproduces a part of the paper: it says which runs it needs and what
// to make of them; training, resuming, --list and the files are the same for all.
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

// The same options for every seed: what a cell of a table is the mean of.
struct Series {
  std::string label, preset;
  std::vector<Run> runs;  // one per seed, but for those that failed

  // The run of the first seed. Throws Error where there is none.
  const Run& first() const;
  // A column of metrics.csv (or of another CSV of the run) after `epoch` epochs (0: after the
  // last), over the seeds; of none where all have failed.
  Summary at(const std::string& column, int64_t epoch = 0,
             const std::string& file = "metrics.csv") const;
  // Its mean over the seeds, epoch by epoch.
  std::vector<double> curve(const std::string& column,
                            const std::string& file = "metrics.csv") const;
};

// The runs of one experiment.
class Study {
 public:
  explicit Study(const ManyRunsOptions& options) : runs_(options) {}

  const Runs& runs() const { return runs_; }
  const ManyRunsOptions& options() const { return runs_.options(); }
  const std::deque<Series>& series() const { return series_; }
  const Series& find(const std::string& label, const std::string& preset) const;
  // The first run that there is, of a preset; nothing where all have failed.
  const Run* first_run(const std::string& preset) const;
  // The first of all. Throws Error where all have failed.
  const Run& any_run() const;
  // Runs that failed, and why.
  const std::vector<std::string>& failures() const { return failures_; }

  // Adds a series: the command line's options with a preset and what `change` sets, where the
  // command line has not decided it. Only the first seed if `one_seed`.
  void add(const std::string& label, const std::string& preset,
           const std::function<void(RunOptions&)>& change = {}, bool one_seed = false);
  // Trains what is missing. A run that fails is left out of its series, and the others go on. False
  // if it was interrupted.
  bool complete();

 private:
  Runs runs_;
  std::deque<Series> series_;
  std::vector<std::string> failures_;
};

struct Experiment {
  const char *name, *summary;      // its files' name; one line for --help
  std::set<std::string> own = {};  // options of a run that it sets itself: "--beta"
  std::vector<std::string> presets = {"published", "versor"};     // where --preset names no others
  std::function<void(Options&)> add_options = {};                 // of its own
  std::function<void(Study&)> plan = {};                          // adds the series
  std::function<void(const Study&, Section&)> fill_section = {};  // when all runs are there
  int64_t paper_codes = 1024, paper_epochs = 50;  // K (0: several) and epochs in the paper
};

// main() of such a program; writes the section and prints it. Where runs have failed the section is
// made of the others, names them, and the exit code is 1.
int run_experiment(int argc, char** argv, const Experiment& experiment);

}  // namespace versor
