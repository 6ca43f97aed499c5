// Runs of full length with the paper's recipe, found by what their config.json says, not by the
// names of their folders. They may come from other machines and older commits.
//   experiments/recorded/runs/<name>/config.json metrics.csv gradients.csv timing.csv
#pragma once

#include <string>
#include <vector>

#include "experiments/run/metrics.h"

namespace versor {

constexpr int64_t kPaperEpochs = 50;  // of tables 2 and 3

struct RecordedRun {
  std::string folder;
  double beta = 0;
  int64_t codes = 0, epochs = 0;
  uint64_t seed = 0;
  std::string precision, hardware, commit;
  MetricsTable metrics;  // one row per epoch; all losses and perplexities are positive

  // The logs of a column, epoch by epoch.
  std::vector<double> logs(const std::string& column) const;
};

struct RecordedRuns {
  std::vector<RecordedRun> runs;      // by K, beta and seed
  std::vector<RecordedRun> cut_off;   // in the same order: begun, but of fewer than 50 epochs
  std::vector<std::string> left_out;  // "folder: why", of runs that look like the paper's
};

// Reads the folders of runs in each of `places`; a place that is not there has none. A run counts
// if it has the published choices, all of CIFAR-10, the paper's sizes (any K, beta and seed), at
// least 50 epochs, which a longer run has too because the learning rate is constant, and fp32 or
// tf32. Of several runs with the same K, beta and seed only one counts: the longest, then the
// first. A run that was cut off before its 50th epoch is kept apart, if no whole one has its seed.
// Configs are read tolerantly: options that did not exist yet count as the published ones. A
// run that cannot be read is left out.
RecordedRuns read_recorded_runs(const std::vector<std::string>& places);

}  // namespace versor
