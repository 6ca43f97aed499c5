// Adam (Kingma and Ba 2015) and, with a weight decay, AdamW (Loshchilov and Hutter 2019), in
// PyTorch's form; the arithmetic is adam_update in tensor/optimizer.h. A step is one pass over all
// parameters, wherever their values lie; the host never waits for the device.
#pragma once

#include <vector>

#include "nn/flat_parameters.h"

namespace versor {

class Adam {
 public:
  // Several optimisers may share a parameter: each moves the same value. Throws Error for a
  // parameter that is given twice, or a setting outside its range.
  explicit Adam(std::vector<Variable> parameters, AdamParams params = {});
  explicit Adam(const FlatParameters& parameters, AdamParams params = {});

  // Moves every parameter that has a gradient. Nothing moves once the guard (FiniteGuard::state)
  // has found something.
  void step(const Tensor& guard = {});
  // For the steps from now on. Captured steps (tensor/replay.h) keep the one they were captured
  // with.
  void set_learning_rate(float lr) { params_.lr = lr; }
  void zero_grad() { parameters_.zero_grad(); }  // forgets the gradients, which would add up

  // State for a checkpoint, the vectors in the order of the parameters.
  std::vector<Tensor>& first_moments() { return m_; }
  std::vector<Tensor>& second_moments() { return v_; }
  // i32 [1]: the calls of step(), which the learning rate follows.
  Tensor& step_counter() { return step_; }
  // i32 [1] each: the steps in which the parameter had a gradient, t of its bias correction.
  std::vector<Tensor>& parameter_steps() { return parameter_steps_; }

 private:
  Adam(ParameterList parameters, AdamParams params);

  ParameterList parameters_;
  AdamParams params_;
  Tensor moments1_, moments2_;  // [P]
  std::vector<Tensor> m_, v_;   // views of them with the parameters' shapes
  Tensor counters_;             // i32 [1+N]: step, then the count of each parameter
  Tensor step_, counts_;        // views of it
  std::vector<Tensor> parameter_steps_;
};

}  // namespace versor
