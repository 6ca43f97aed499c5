// One training step: the unit that the trainer repeats, bin/bench times and bin/one_step writes out
// (one_step.h).
#pragma once

#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "vq/model.h"

namespace versor {

struct StepResult {
  VqVaeOutput output;
  VqVaeLoss loss;
  Tensor replaced;  // i32 [1] dead codes replaced; undefined if none could be
};

// Forward pass, backward pass, update of the codebooks, Adam. Gradients are kept until the next
// step. The guard (may be null) checks the latents, the loss and every gradient; if one is not
// finite, nothing is updated.
StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard = nullptr);

}  // namespace versor
