// Which configurations of cuDNN's engines are tried for a convolution, and in which order. Needs no
// CUDA: what measures them is an argument.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "tensor/cuda/plan_table.h"

namespace versor::cuda {

// A setting of an engine: the numbers from `least` to `most`, not all of which need to work.
struct Knob {
  int64_t type, least, most, stride;
};

struct TunableEngine {
  int64_t engine;
  bool compiled_at_run_time;
  std::vector<Knob> knobs;
};

// What cuDNN has for a convolution and our rules allow.
struct PlanOptions {
  std::vector<EngineChoice> ranked;  // by the heuristics, the best first
  std::vector<TunableEngine> engines;
};

// The values of a knob that are tried, far apart ones first. An index (from 0) may mean anything,
// so these are all; of counts (from 1) and of more than 512 values, the powers of two.
std::vector<int64_t> values_of(const Knob& knob);

// Tries the heuristics' configurations, then every other engine as it is, then the knobs one by
// one: always of the engine that is fastest so far and not finished, from its best configuration,
// until nothing gets better. This first for the engines that are ready, in at most half of the
// time, then for all: where kernels must be compiled, a configuration takes a second in place of 20
// ms. Nothing is tried twice. `measure` gives the seconds, or nothing if there is no such plan;
// `time_left` the share of the time, from 1 to 0.
void search_plans(const PlanOptions& options,
                  const std::function<std::optional<double>(const EngineChoice&)>& measure,
                  const std::function<double()>& time_left);

// The exact value of one element of the result (of x, weight or y, by key.kind): in f64, from
// tensors that are given whole. `bias`: null without one.
struct ConvOperands {
  const float *x, *weight, *y, *bias;
};
double exact_element(const ConvKey& key, const ConvOperands& operands, int64_t index);

}  // namespace versor::cuda
