// Runs from any folders, finished or still training, grouped by their settings: the runs of a
// setting differ only in the seed.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "experiments/report/section.h"
#include "experiments/report/statistics.h"
#include "experiments/run/metrics.h"

namespace versor {

struct OwnRun {
  std::string folder;
  nlohmann::ordered_json config;
  RunRecord record;
  MetricsTable metrics, steps;  // as far as they are there
  uint64_t seed = 0;
  int64_t epochs = 0;      // asked for
  bool held_back = false;  // its "test" images are training images

  int64_t done() const { return static_cast<int64_t>(metrics.rows.size()); }
  bool ended_early() const;
  bool has(const std::string& column) const;  // in metrics, with a row
};

struct Setting {
  std::string label;         // what distinguishes it from the others
  std::vector<OwnRun> runs;  // at least one

  const nlohmann::ordered_json& config() const { return runs.front().config; }
  // Epochs that all its begun runs have; 0 if none has begun.
  int64_t epochs() const;
  // A column of metrics.csv after that epoch, over the runs that have it.
  Summary at(const std::string& column, int64_t epoch) const;
};

// The folders of runs that a list of folders names: a run's own folder, one that holds runs, or a
// results folder.
// Throws Error, naming it, for a folder that is neither.
std::vector<std::string> run_folders(const std::vector<std::string>& named);
// The runs in <results>/runs whose names are not in `used`.
std::vector<std::string> other_runs(const std::string& results, const std::set<std::string>& used);

struct Settings {
  std::vector<Setting> all;
  std::vector<std::string> keys;     // of the options in which they differ
  std::vector<std::string> notes;    // copies of one run, which count once
  std::vector<std::string> damaged;  // why a run is not among them
};
Settings read_settings(const std::vector<std::string>& folders);

// An option's name without dashes: "beta".
std::string short_name(const std::string& key);

}  // namespace versor
