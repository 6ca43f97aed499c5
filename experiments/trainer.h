// Trains one VQ-VAE from a config and data into a run folder: epochs of training and evaluation,
// metrics, pictures, checkpoints. An interrupted run goes on where its last checkpoint stands and
// ends with the same bytes in metrics.csv as one that was never interrupted.
#pragma once

#include <chrono>
#include <optional>

#include "data/batcher.h"
#include "experiments/metrics.h"
#include "experiments/run_folder.h"
#include "experiments/run_options.h"
#include "experiments/training_step.h"

namespace versor {

struct TrainerSettings {
  std::string folder;      // of the run
  bool quiet = false;      // no progress
  int64_t save_every = 0;  // steps between checkpoints inside an epoch; 0: every two minutes
};

enum class TrainingEnd { finished, was_finished, interrupted };

class Trainer {
 public:
  Trainer(const RunOptions& options, const DatasetPair& images, TrainerSettings settings);

  // Trains what is left. SIGINT and SIGTERM end the step, save and return `interrupted`.
  TrainingEnd run();

 private:
  void start_codebook();
  void train_epoch();
  PassMetrics evaluate();
  void finish_epoch(const PassMetrics& test, double train_seconds, double eval_seconds);
  void draw_reconstructions();
  void save();
  bool restore();
  bool time_to_save(int64_t batch) const;
  void progress(int64_t batch, int64_t batches);

  RunOptions options_;
  nlohmann::ordered_json config_;
  TrainerSettings settings_;
  RunFolder folder_;
  Device device_;
  Rng rng_;
  VqVae model_;
  Adam adam_;
  Batcher train_images_, test_images_;

  // Position: `epoch_` epochs are done, and `batch_` batches of the next one with sums `train_`.
  int64_t epoch_ = 0, batch_ = 0;
  PassMetrics train_;
  std::vector<std::string> rows_, timings_;

  std::chrono::steady_clock::time_point saved_at_, shown_at_, epoch_started_at_;
  int64_t epoch_started_batch_ = 0;
};

// Catches SIGINT and SIGTERM while it lives: interrupted() turns true instead of the process
// ending. A second signal ends the process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  static bool interrupted();
};

}  // namespace versor
