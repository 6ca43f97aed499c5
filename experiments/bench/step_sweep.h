// Measures configurations around a base: how a step's time and memory depend on precision and size,
// and how its time grows with batch, K, D and cores. For the paper's D 256 and batch 128 the
// factors give D 64 and 256 and batches of 32, 128 and 512.
#pragma once

#include <functional>

#include "experiments/bench/step_benchmark.h"

namespace versor {

// Every precision x D {1/4, 1} x batch {1/4, 1, 4}; calls back after each measurement.
void measure_sizes(const StepConfiguration& base, const std::vector<Precision>& precisions,
                   int64_t repeats, const std::function<void(const StepMeasurement&)>& each);

// A configuration that differs from the base along one axis, and the ratio of its step's time to
// the base's, measured alternately.
struct Growth {
  std::string axis;  // "batch", "K", "D" or "cores"
  int64_t value;
  double seconds, ratio;
};
// Batch and K from 1/4 to 4 times the base, D from 1/4 to twice the base, cores from 1 to the
// base's. The base itself occurs once on every axis, with ratio 1.
void measure_growth(const StepConfiguration& base, int64_t repeats,
                    const std::function<void(const Growth&)>& each);

}  // namespace versor
