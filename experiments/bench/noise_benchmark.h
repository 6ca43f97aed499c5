// The gradient noise scale while a model trains: how large batches are worth having
// (scaling_model.h, experiments/SCALING.md).
#pragma once

#include <functional>
#include <vector>

#include "data/dataset.h"
#include "experiments/bench/scaling_model.h"
#include "experiments/bench/step_benchmark.h"

namespace versor {

struct NoiseAt {
  int64_t step = 0;
  NoiseScale noise;
};

// Trains the model of `what` on such images, and measures after 0, 10, 100, 1000, ... steps, up to
// `steps`: the norms of the gradients of small parts of some batches, and of the batches. Each
// result is given to `report` as soon as it is there.
void measure_noise(StepConfiguration what, const Dataset& images, int64_t steps,
                   const std::function<void(const NoiseAt&)>& report);

}  // namespace versor
