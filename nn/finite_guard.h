// Watches tensors for NaN and infinity without the host waiting for the device. The device
// remembers the first step and tensor that are not finite; from then on neither the optimiser
// (Adam::step) nor the codebook (Codebook::update) moves, so that the model can be inspected as it
// was when the fault appeared. The host reads what was found when it reads the metrics.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

class FiniteGuard {
 public:
  struct Found {
    int64_t step;
    std::string tensor;
  };

  // `step` i32 [1] on the device: the number that a finding is reported with.
  explicit FiniteGuard(Tensor step);

  // Looks at tensors, f32 or bf16, under their names: the same group of names in every step. Of
  // several in one step the one that is watched first is reported.
  void watch(const std::vector<std::pair<std::string, Tensor>>& tensors);

  // What was found first; waits for the device.
  std::optional<Found> found() const;
  const Tensor& state() const { return state_; }  // i32 [2], see find_nonfinite in backend.h

 private:
  Tensor step_, state_;
  std::vector<std::string> names_;  // a tensor's tag is its place here
};

}  // namespace versor
