// Trains one model, given options and images, into a run folder: epochs of training and evaluation,
// metrics, pictures, checkpoints. An interrupted run resumes from its last checkpoint and ends with
// the same bytes in metrics.csv as one that was never interrupted.
//
// Several ranks train one model together (tensor/communicator.h): each works on its part of every
// batch, and all have the same weights, metrics and Progress at any time, bit for bit. Rank 0 alone
// has the folder, writes and prints.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>

#include "data/batcher.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/interrupt.h"
#include "experiments/run/progress_line.h"
#include "experiments/run/run_config.h"
#include "experiments/run/run_log.h"
#include "experiments/run/training_step.h"
#include "tensor/replay.h"

namespace versor {

struct TrainerSettings {
  std::string folder;            // of the run
  bool quiet = false;            // no progress
  int64_t save_every = 0;        // steps between checkpoints inside an epoch; 0: every two minutes
  bool graph = true;             // capture a step once and replay it, if the device can
  double stop_after = 0;         // seconds until it saves and stops; 0: never
  int64_t stop_after_steps = 0;  // of training, from this start; 0: never
  bool has_source = true;  // the images are those that the options name, as config.json will say
  Communicator* ranks = &alone();
};

enum class TrainingEnd { finished, was_finished, stopped, interrupted };

class Trainer {
 public:
  // Resolves what the options leave open. Throws as resolve() and RunFolder do. What any of several
  // ranks meets here, or all of them meet alike in run(), is a SharedError (cli/ranks.h).
  Trainer(const RunOptions& options, const DatasetPair& images, TrainerSettings settings);

  // Trains the remaining epochs. After a signal (interrupt.h) it finishes the current step, of
  // training or evaluation, saves and returns `interrupted`; after settings.stop_after, `stopped`.
  TrainingEnd run();

 private:
  // A pass over one set, for training or evaluation: what its steps read and write on the device.
  // The addresses stay the same in every epoch, so that a captured step can be replayed.
  struct Pass {
    Pass(const Batcher& images, PassMetrics& metrics, Device device);

    int64_t batches;
    Epoch order;
    Tensor batch;  // i32 [1], the number of the batch in the pass
    MetricsLog log;
    std::map<int64_t, Replay> replays;  // by the number of images in a batch
    int64_t next = 0;                   // the next batch; those before it are done or enqueued
    PassMetrics& metrics;               // of the batches that have been read from the log
  };

  // What the ranks do after a step: the most that one of them asks for.
  enum Next : int64_t { kGoOn, kReport, kStop, kInterrupt };

  std::unique_ptr<RunFolder> open_folder();
  void begin_run();
  void start_codebooks();
  bool has_ended() const;
  MetricsTable epochs_done() const;
  void agree();
  bool must_stop() const { return next_ >= kStop; }
  void set_learning_rate();
  void train_epoch();
  void evaluate();
  void begin(Pass& pass);
  void step(Pass& pass, bool training);
  void take_metrics(Pass& pass);
  [[noreturn]] void fail_not_finite(const std::string& what);
  void finish_epoch(double train_seconds, double eval_seconds);
  std::string gradients_now() const;
  void draw_epoch() const;
  void write_epoch(const std::string& timing, const std::string& gradients);
  void compare_ranks();
  void write_model(const std::string& path) const;
  Tensor pictured() const;
  void save();
  bool restore();
  void share_state();
  bool time_to_save() const;
  int64_t images_seen() const;
  int64_t steps_done() const;
  void log_step();
  double seconds_left() const;
  bool line_due() const;
  void show_progress();
  void show_epoch(double seconds) const;

  RunOptions options_;
  std::shared_ptr<const nlohmann::ordered_json> config_;
  TrainerSettings settings_;
  std::unique_ptr<Communicator> of_device_;  // null where the host's serves the device
  Communicator& communicator_;
  std::unique_ptr<RunFolder> folder_;  // rank 0's; null in the others
  Device device_;
  Rng rng_;
  std::unique_ptr<VqModel> model_;
  Batcher train_images_, test_images_;
  AdamParams adam_params_;
  Adam adam_;
  Sharing sharing_;
  TrainingStep step_;
  std::shared_ptr<MemoryPool::Arena> arena_;  // memory of the captured steps
  Progress progress_;
  Pass train_pass_, test_pass_;
  FiniteGuard guard_;
  bool graph_;                 // whether steps are captured
  std::optional<RunLog> log_;  // where there is a folder
  ProgressLine line_;

  std::chrono::steady_clock::time_point started_at_, saved_at_, epoch_started_at_;
  int64_t epoch_started_batch_ = 0, first_step_ = 0;
  Next next_ = kGoOn;
};

}  // namespace versor
