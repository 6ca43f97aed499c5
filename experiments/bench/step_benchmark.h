// What bin/bench measures: one training step of one configuration (time, floor, memory, each
// primitive's share), and a pass over real batches compared with the bare step. bench_output.h
// prints the results.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "experiments/bench/floor.h"
#include "experiments/run/precision.h"
#include "experiments/run/training_step.h"
#include "tensor/replay.h"
#include "tensor/trace.h"
#include "vq/vqvae.h"

namespace versor {

struct StepConfiguration {
  Device device;
  Precision precision = Precision::fp32;  // the process is set to it (precision.h)
  int64_t batch = 128, latent = 256, codes = 1024;
  int64_t image = 32, downsampling = 4;  // pixels per side of an image, and of a latent
  int threads = 1;
  bool graph = true;  // on a GPU: capture the step once and replay it
};

VqVaeOptions model_of(const StepConfiguration& what);
double seconds_of(const std::function<void()>& work);

// Bytes of a step's tensors.
struct StepMemory {
  size_t parameters = 0;  // the gradients take the same again
  size_t moments = 0, codebook = 0, batch = 0;
  size_t before = 0;        // live when a step begins: all of the above and a few counters
  size_t saved = 0;         // by forward for backward
  size_t forward_peak = 0;  // most live during forward, without `before`
  size_t peak = 0;          // most live at any time of a step
  size_t needed() const { return saved + 2 * parameters + moments; }
};

struct StepMeasurement {
  StepConfiguration what;
  bool captured = false;         // the step was replayed as a CUDA graph
  std::vector<double> seconds;   // of a step, one value for each repeat
  size_t allocations = 0;        // from the device after the first repeat: should be 0
  std::vector<FloorItem> floor;  // empty if there is none; then no_floor says why
  double floor_seconds = 0;
  std::string no_floor;
  StepMemory memory;
  std::map<std::string, ProfileEntry> profile;  // of profiled_steps steps
  int64_t profiled_steps = 0;
  // The device's peak rates, measured after the step: bytes read and written per second by the
  // copy of a large tensor; on a GPU also flop/s of a large matrix product in the step's type.
  double copy_rate = 0, product_rate = 0;

  double step_seconds() const;  // median
  double flops() const;         // of the step's convolutions
  double bytes() const;         // that the primitives of one step read and write
};

// A model with everything that a training step needs, on one batch of random images; the content of
// images does not change what a step costs. They are square and have 3 channels.
class StepBenchmark {
 public:
  explicit StepBenchmark(const StepConfiguration& what);
  // The same with another model in place of the paper's.
  using MakeModel = std::function<std::unique_ptr<VqModel>()>;
  StepBenchmark(const StepConfiguration& what, const MakeModel& make);

  // Seconds of one step. A GPU executes asynchronously, so many steps are timed together there and
  // this is their mean.
  double time();
  bool captured() const { return replay_.captured(); }
  StepMemory memory();
  std::map<std::string, ProfileEntry> profile(int64_t steps);

  VqModel& model() const { return *model_; }
  Adam& adam() { return adam_; }
  const Tensor& images() const { return images_; }
  const std::shared_ptr<MemoryPool::Arena>& arena() { return arena_; }

 private:
  StepConfiguration what_;
  Backend& backend_;
  size_t bytes_of_others_;  // in the pool before this was constructed
  std::shared_ptr<MemoryPool::Arena> arena_;
  std::unique_ptr<VqModel> model_;
  Adam adam_;
  Tensor images_;
  Replay replay_;
};

// The floor of a configuration. If there is none, returns null and sets `why`.
std::unique_ptr<Floor> make_floor(const StepConfiguration& what, std::string& why);

// Measures step and floor alternately, `repeats` times each.
StepMeasurement measure_step(const StepConfiguration& what, int64_t repeats);
// The same, with profile and peak rates.
StepMeasurement measure_step_in_detail(const StepConfiguration& what, int64_t repeats);

// Time of one thing relative to another: both measured alternately, median of the pairwise ratios.
struct TimeRatio {
  double seconds, ratio;
};
TimeRatio measure_ratio(const std::function<double()>& time, const std::function<double()>& other,
                        int64_t repeats);

// A pass over `batches` batches as the trainer does it (shuffled, gathered by index, with metrics
// and the guard against non-finite values), alternating with as many bare steps on one batch. Steps
// never wait for input if the two take the same time.
struct EpochMeasurement {
  StepConfiguration what;
  int64_t batches = 0;
  double epoch_seconds = 0, step_seconds = 0;  // sums over all batches
  double ratio = 0;                            // median over the blocks
};
EpochMeasurement measure_epoch(const StepConfiguration& what, int64_t batches);
constexpr int64_t kMostEpochImages = 1'000'000;  // that synthetic_images() draws

}  // namespace versor
