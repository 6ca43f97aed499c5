// What bin/scaling measures on the ranks at hand, as JSON, and the model's (scaling_model.h)
// parameters that follow from it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/bench/scaling_model.h"
#include "experiments/bench/step_benchmark.h"
#include "tensor/communicator.h"

namespace versor {

struct ScalingMeasurement {
  StepConfiguration what;  // its batch is that of all ranks
  int64_t ranks = 1, hosts = 1;
  std::string name, commit, mpi;
  std::vector<Timed> steps;   // images of a rank, whose steps are its own (all ranks at a time)
  double backward_share = 0;  // of such a step
  std::vector<Timed> sums;    // bytes; none for one rank
  double gradient_bytes = 0;  // of a step of all ranks together
  double statistics_bytes = 0, waits = 0;
  double step_seconds = 0;  // of that step
  double images_per_rank() const { return static_cast<double>(what.batch) / ranks; }

  // Of the model, fitted to the above.
  StepCost cost() const;
  Link link(SumBy by) const;
};

// Every time is the least of `repeats`, each that of the slowest rank. All ranks call this
// together.
ScalingMeasurement measure_scaling(const StepConfiguration& what, int64_t repeats,
                                   const std::string& name, Communicator& ranks);

nlohmann::ordered_json to_json(const ScalingMeasurement& m);
// Throws Error that names the file and what is wrong in it.
ScalingMeasurement read_scaling(const std::string& path);

}  // namespace versor
