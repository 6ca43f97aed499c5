// What a run records while it trains: metrics.csv, gradients.csv and timing.csv, a row an epoch;
// steps.csv, a row every ten seconds and at the end of an epoch; and, if asked for, TensorBoard's
// event files in tensorboard/. All are appended to. The first two have the same bytes in every run
// of a config; the others depend on the time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "experiments/run/checkpoint.h"
#include "experiments/run/event_file.h"
#include "experiments/run/run_folder.h"

namespace versor {

class RunLog {
 public:
  RunLog(const RunFolder& folder, bool tensorboard, int64_t steps_an_epoch,
         const std::string& gradients_header);

  // The files up to the position where a run begins or resumes: removes what it will repeat and
  // adds the rows of metrics.csv that a kill kept from being written.
  void restart(const Progress& progress);

  // The next row of steps.csv is about the batches after those in `train`.
  void begin_steps(const PassMetrics& train);
  bool step_due() const;
  // Adds a row about the batches since the last; nothing if there are none.
  void add_step(const Progress& progress, double learning_rate);

  // The rows of the epoch that has just been finished, except that of metrics.csv: the last of its
  // rows marks the run as finished, so `finish_epoch` adds it after the checkpoint.
  void add_epoch(const Progress& progress, const std::string& timing, const std::string& gradients);
  void finish_epoch(const Progress& progress) const;

 private:
  struct Sums {  // over the batches of an epoch so far
    double batches = 0, images = 0, loss = 0, reconstruction = 0, codebook = 0, perplexity = 0;
  };
  void restart_steps(int64_t step);
  int64_t step_of(const Progress& progress) const;
  static Sums sums_of(const PassMetrics& train);
  void add_scalars(const std::string& header, const std::string& row, int64_t step,
                   const std::string& prefix);

  const RunFolder& folder_;
  bool tensorboard_;
  int64_t steps_an_epoch_;
  std::string gradients_header_;
  std::vector<std::string> timings_, gradients_;
  std::optional<AppendedFile> steps_;
  std::optional<EventFile> events_;
  Sums before_;
  double earlier_seconds_ = 0;  // of the run, before this process
  std::chrono::steady_clock::time_point started_at_, logged_at_;
};

}  // namespace versor
