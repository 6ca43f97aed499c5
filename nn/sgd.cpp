// SGD: see sgd.h.
#include "nn/sgd.h"

#include "tensor/ops.h"

namespace versor {

Sgd::Sgd(ParameterList parameters, SgdParams params)
    : parameters_(std::move(parameters)), params_(params) {
  check(params.lr >= 0 && params.momentum >= 0 && params.weight_decay >= 0, "sgd", "lr ", params.lr,
        ", momentum ", params.momentum, " and weight_decay ", params.weight_decay,
        " must not be negative");
  check(!params.nesterov || params.momentum > 0, "sgd", "Nesterov's momentum needs a momentum");
  if (params.momentum > 0) {
    velocity_ = parameters_.new_flat();
    velocities_ = parameters_.views(velocity_);
  }
  step_ = ops::zeros({1}, parameters_.device(), DType::i32);
}

Sgd::Sgd(std::vector<Variable> parameters, SgdParams params)
    : Sgd(ParameterList(std::move(parameters)), params) {}

Sgd::Sgd(const FlatParameters& parameters, SgdParams params)
    : Sgd(static_cast<const ParameterList&>(parameters), params) {}

void Sgd::step(const Tensor& guard) {
  ops::increment(step_);
  ops::sgd(velocity_, parameters_.with_gradient(), step_, guard, params_);
}

}  // namespace versor
