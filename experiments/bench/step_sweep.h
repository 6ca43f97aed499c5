// Many configurations around one: how a step's time and memory depend on precision and size, and
// how its time grows with batch, K, D and cores. The factors make D 64/256 x batch 32/128/512 of
// the paper's D 256, batch 128.
#pragma once

#include <functional>

#include "experiments/bench/step_benchmark.h"

namespace versor {

// Every precision x D {1/4, 1} x batch {1/4, 1, 4}, handed out one by one as they are measured.
void measure_sizes(const StepConfiguration& base, const std::vector<Precision>& precisions,
                   int64_t repeats, const std::function<void(const StepMeasurement&)>& each);

// One configuration that differs from the base along one axis; ratio of its step's time to that of
// the base, which is measured in turn with it.
struct Growth {
  std::string axis;  // "batch", "K", "D" or "cores"
  int64_t value;
  double seconds, ratio;
};
// Batch, K and D from 1/4 to 4 times the base (D to twice it), cores from 1 to all of the base. The
// base itself comes once on every axis, with ratio 1.
void measure_growth(const StepConfiguration& base, int64_t repeats,
                    const std::function<void(const Growth&)>& each);

}  // namespace versor
