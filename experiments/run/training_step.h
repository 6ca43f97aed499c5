// One step of training, the unit that the trainer repeats, bin/bench times and bin/one_step shows
// (one_step.h).
#pragma once

#include "nn/adam.h"
#include "vq/model.h"

namespace versor {

struct StepResult {
  VqVaeOutput output;
  VqVaeLoss loss;
};

// Forward (updating the codebook), backward, Adam. Gradients stay until the next step. The guard
// (may be null) watches the encoder's output, the loss and every gradient.
StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard = nullptr);

}  // namespace versor
