// A ConvPlan: one convolution as one engine of cuDNN runs it. Which engine that is, a table of
// measured plans says or cuDNN's heuristics; either way it keeps our rules (acceptable() in
// conv_plan.cpp). Read next: conv.cpp, which uses plans.
#pragma once

#include <memory>
#include <set>

#include "tensor/cuda/cudnn.h"
#include "tensor/cuda/plan_search.h"

namespace versor::cuda {

// What cuDNN says about an engine: how it computes, and whether it is compiled for each graph.
struct Engine {
  std::set<cudnnBackendNumericalNote_t> notes;
  bool compiled_at_run_time = false;
  bool has(cudnnBackendNumericalNote_t note) const { return notes.contains(note); }
};

class ConvPlan {
 public:
  static constexpr size_t kMostWorkspace = Context::kMostConvWorkspace;

  // The plan of the target's table, if it has one that works; else the one that cuDNN's heuristics
  // rank first. Null if there is none that keeps our rules.
  static std::unique_ptr<ConvPlan> build(const ConvKey& key, const PlanTarget& target,
                                         size_t most_workspace = kMostWorkspace);
  // The plan of one engine; null if it does not work or does not keep our rules.
  static std::unique_ptr<ConvPlan> build(const ConvKey& key, const PlanTarget& target,
                                         const EngineChoice& choice,
                                         size_t most_workspace = kMostWorkspace);

  // Enqueues the convolution. key.kind says which of x, weight and y is written.
  struct Addresses {
    void *x, *weight, *y, *bias;  // on the device; bias: null without one
  };
  void execute(cudnnHandle_t handle, const Addresses& addresses, void* workspace) const;

  size_t workspace_bytes() const { return workspace_bytes_; }
  const Engine& engine() const { return engine_; }
  const EngineChoice& choice() const { return choice_; }

 private:
  ConvPlan(Descriptor plan, size_t workspace_bytes, Engine engine, EngineChoice choice)
      : plan_(std::move(plan)),
        workspace_bytes_(workspace_bytes),
        engine_(std::move(engine)),
        choice_(std::move(choice)) {}
  static std::unique_ptr<ConvPlan> build(const ConvKey& key, const PlanTarget& target,
                                         const Descriptor& configuration, size_t most_workspace,
                                         bool is_ranked);

  Descriptor plan_;
  size_t workspace_bytes_;
  Engine engine_;
  EngineChoice choice_;
};

// As cuDNN numbers its versions: 91900 for 9.19.0.
inline int64_t cudnn_version() {
  return static_cast<int64_t>(cudnnGetVersion());
}

// All engines that keep our rules, with their knobs, and the heuristics' configurations of them.
PlanOptions plan_options(const ConvKey& key, const PlanTarget& target);

}  // namespace versor::cuda
