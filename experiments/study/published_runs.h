// The authors' own training curves, epoch by epoch, from the published project
// (experiments/published_runs/README.md). More files of the same format can be added there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"

namespace versor {

struct PublishedRun {
  std::string file;  // "beta_0.25_k1024"
  double beta = 0;
  int64_t codes = 0;
  MetricsTable metrics;
};

// Parses the name of such a file; nothing if it does not contain both beta and K. Throws Error if a
// number is out of range.
struct PublishedName {
  double beta = 0;
  int64_t codes = 0;
};
std::optional<PublishedName> parse_published_name(const std::string& name);

// Reads all files *.csv of a folder whose names contain beta and K, like "beta_0.5_k1024.csv" or
// "training_testing_k1024_beta0.25.csv". Empty if there is no such folder. Throws Error naming a
// malformed file.
std::vector<PublishedRun> read_published_runs(const std::string& folder);

}  // namespace versor
