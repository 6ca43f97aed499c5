// What `make tune-gpu` and the part probe of `make verify-gpu` need of the backend: which plans a
// step uses, how fast and how exact a plan is, and what two streams gain. Needs no header of CUDA.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cuda/plan_search.h"

namespace versor::cuda {

// The card's name and the version of cuDNN, without plans; and the plans that new ones are made by.
PlanTable empty_table(Device gpu);
const PlanTable& plans_in_use(Device gpu);
// The convolutions that have a plan by now.
std::vector<ConvKey> planned_convolutions(Device gpu);
// Forgets all plans and makes new ones by this table. Work that was captured must not be replayed
// any more.
void use_plans(Device gpu, PlanTable table);

// How far the results of a plan may be from exact ones, by the precision: ||difference|| over
// ||exact||. Rounding in f32, of both factors to TF32, of the result to bf16; sums of products of
// bf16.
double error_bound(const ConvKey& key);

struct PlanTiming {
  EngineChoice choice;
  bool compiled_at_run_time;
  size_t workspace_bytes;
  double seconds;  // a launch, median
  double error;    // ||difference|| / ||exact|| over kSampled elements of the result
};

// One convolution with tensors of its own, so many that they do not stay in the card's cache.
class ConvTuner {
 public:
  ConvTuner(Device gpu, const ConvKey& key);
  ~ConvTuner();

  PlanOptions options();
  // Nothing: no such plan. Throws Error if the plan fails on the card.
  std::optional<PlanTiming> measure(const EngineChoice& choice);
  // The plan that the backend takes.
  std::optional<PlanTiming> measure_in_use();

  // The backend's primitive with these options, which stay set: the choice is not filled in.
  PlanTiming measure_primitive(const BackendOptions& options);

  // Seconds of both convolutions on one stream and on two, by the plans measured last.
  struct Pair {
    double one_stream, two_streams;
  };
  static Pair measure_pair(ConvTuner& a, ConvTuner& b);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace versor::cuda
