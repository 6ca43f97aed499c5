// The authors' own training curves, epoch by epoch, beside ours. They are data of the published
// project (experiments/published_runs/README.md), and more files of their format can be put there.
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

// What the name of such a file says; nothing if it does not hold both. Throws Error if it holds a
// number beyond all reason.
struct PublishedName {
  double beta = 0;
  int64_t codes = 0;
};
std::optional<PublishedName> parse_published_name(const std::string& name);

// All files *.csv of a folder whose names hold beta and K: "beta_0.5_k1024.csv",
// "training_testing_k1024_beta0.25.csv". None if there is no such folder. Throws Error naming a
// file that is malformed.
std::vector<PublishedRun> read_published_runs(const std::string& folder);

}  // namespace versor
