// The checkpoint of a run, trainer.safetensors in its folder: everything that the rest of the run
// depends on. Parameters, codebook and its EMA accumulators, both moments of Adam, its step counter
// and the steps of each parameter (where an older file lacks these, they are the step counter's),
// the counter that the codebook's random numbers follow from, the position in the epoch with
// the sums of its metrics, the finished rows of metrics.csv, and the options (with the seed: all
// random numbers follow from it and from counters). The file is replaced as a whole, carries a
// checksum, and the one before it is kept as trainer.previous.safetensors.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/run_folder.h"
#include "nn/adam.h"
#include "vq/model.h"

namespace versor {

// Where a run is.
struct Progress {
  explicit Progress(const Vocabulary& vocabulary) : train(vocabulary), test(vocabulary) {}

  int64_t epoch = 0;              // so many are done
  PassMetrics train, test;        // the batches of the next one so far
  std::vector<std::string> rows;  // of metrics.csv
};

void write_checkpoint(const RunFolder& folder, const nlohmann::ordered_json& config,
                      const Progress& progress, VqModel& model, Adam& adam);

// Restores model and Adam from the folder's checkpoint; nothing if there is none. A damaged one is
// put aside as trainer.damaged.safetensors, with a line on stderr, where the one before it is whole
// and serves instead. Throws Error where no checkpoint is of use, or if it is another run's.
std::optional<Progress> restore_checkpoint(const RunFolder& folder,
                                           const nlohmann::ordered_json& config, VqModel& model,
                                           Adam& adam);

// Removes the one before the newest, once the run has finished.
void forget_previous_checkpoint(const RunFolder& folder);

// The text in the checkpoint's metadata, and back. `path` is for the error, where it is malformed.
std::string to_text(const Progress& progress);
Progress parse_progress(const std::string& text, const Vocabulary& vocabulary,
                        const std::string& path);

}  // namespace versor
