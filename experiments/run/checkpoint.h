// The checkpoint of a run, trainer.safetensors in its folder, holds everything that the rest of the
// run depends on: parameters; codebook and EMA accumulators; Adam's moments, its step counter and
// the steps of each parameter (in older files, all equal to the step counter); the counters of the
// quantizers' random numbers; the position in the epoch with the sums of its metrics; the finished
// rows of metrics.csv; and the options. All random numbers follow from the seed among these and
// from counters. The file is replaced atomically and carries a checksum, and the one before it is
// kept as trainer.previous.safetensors.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/run_folder.h"
#include "nn/adam.h"
#include "vq/model.h"

namespace versor {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// The state of Adam on a module's parameters: moments, and the counters of steps. The tensors share
// their memory with it.
NamedTensors adam_state(const Module& module, Adam& adam);

// What any trainer's checkpoint is made of: the parameters and buffers of a module, other tensors,
// and a text, the position. Restoring copies into the tensors and returns the position; nothing if
// there is no checkpoint. If it is damaged and the one before it is intact, that one is used, the
// damaged one is renamed to trainer.damaged.safetensors, and a line on stderr says so. Throws Error
// if no checkpoint is usable or it belongs to another run.
void write_state(const RunFolder& folder, const nlohmann::ordered_json& config,
                 const Module& module, const NamedTensors& others, const std::string& position);
std::optional<std::string> restore_state(const RunFolder& folder,
                                         const nlohmann::ordered_json& config, Module& module,
                                         const NamedTensors& others);

// How far a run has come.
struct Progress {
  explicit Progress(const Vocabulary& vocabulary) : train(vocabulary), test(vocabulary) {}

  int64_t epoch = 0;              // finished epochs
  PassMetrics train, test;        // the next epoch's batches so far
  std::vector<std::string> rows;  // of metrics.csv
};

// All tensors that the rest of the run depends on, with their names; they share their memory with
// the model and Adam.
NamedTensors training_state(VqModel& model, Adam& adam);

void write_checkpoint(const RunFolder& folder, const nlohmann::ordered_json& config,
                      const Progress& progress, VqModel& model, Adam& adam);

// Restores model and Adam from the folder's checkpoint, as restore_state() does.
std::optional<Progress> restore_checkpoint(const RunFolder& folder,
                                           const nlohmann::ordered_json& config, VqModel& model,
                                           Adam& adam);

// Removes the checkpoint before the newest, for use once the run has finished.
void forget_previous_checkpoint(const RunFolder& folder);

// Progress to the text in the checkpoint's metadata, and back. Throws Error naming `path` if the
// text is malformed.
std::string to_text(const Progress& progress);
Progress parse_progress(const std::string& text, const Vocabulary& vocabulary,
                        const std::string& path);

}  // namespace versor
