// Watches tensors for NaN and infinity without making the host wait: the device remembers the first
// tensor that is not finite and its step. From then on optimisers and codebook stop (Adam::step,
// Codebook::update), so that the model is kept as it was when the NaN appeared. The host learns of
// it when it reads the metrics.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/communicator.h"

namespace versor {

class FiniteGuard {
 public:
  struct Found {
    int64_t step;
    std::string tensor;
  };

  // `step` i32 [1] on the device: the step number to report.
  explicit FiniteGuard(Tensor step);

  // Checks named tensors, f32 or bf16; every step must pass the same groups of names. If several
  // are not finite in one step, the one watched first is reported.
  void watch(const std::vector<std::pair<std::string, Tensor>>& tensors);

  // The first finding; waits for the device.
  std::optional<Found> found() const;
  const Tensor& state() const { return state_; }  // i32 [2], see find_nonfinite in backend.h

  // Makes the state that of all ranks, after the last watch() of a step.
  void all_reduce(Communicator& communicator);
  // The first rank with this finding. Every rank must ask; waits.
  int finder(Communicator& communicator) const;

 private:
  Tensor step_;
  Tensor own_;                      // what this process has found
  Tensor state_;                    // what all have; the same tensor while the process is alone
  std::vector<std::string> names_;  // a tensor's tag is its place here
};

}  // namespace versor
