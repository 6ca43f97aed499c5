// Stochastic gradient descent with momentum, in PyTorch's form: dampening 0, Nesterov's momentum if
// asked for, the weight decay as part of the gradient. The arithmetic is sgd_update in
// tensor/optimizer.h. What adam.h says of parameters, steps and the guard holds here too.
#pragma once

#include <vector>

#include "nn/flat_parameters.h"

namespace versor {

class Sgd {
 public:
  explicit Sgd(std::vector<Variable> parameters, SgdParams params = {});
  explicit Sgd(const FlatParameters& parameters, SgdParams params = {});

  void step(const Tensor& guard = {});
  void set_learning_rate(float lr) { params_.lr = lr; }  // as Adam's
  void zero_grad() { parameters_.zero_grad(); }

  // State for a checkpoint: the velocities in the order of the parameters, none without momentum,
  // and the calls of step(), i32 [1].
  std::vector<Tensor>& velocities() { return velocities_; }
  Tensor& step_counter() { return step_; }

 private:
  Sgd(ParameterList parameters, SgdParams params);

  ParameterList parameters_;
  SgdParams params_;
  Tensor velocity_;                 // [P], undefined without momentum
  std::vector<Tensor> velocities_;  // views of it with the parameters' shapes
  Tensor step_;
};

}  // namespace versor
