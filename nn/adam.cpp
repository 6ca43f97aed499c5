// Adam: see adam.h.
#include "nn/adam.h"

#include "tensor/ops.h"

namespace versor {

Adam::Adam(std::vector<Variable> parameters, AdamParams params)
    : parameters_(std::move(parameters)), params_(params) {
  check(!parameters_.empty(), "adam", "there are no parameters");
  for (const Variable& p : parameters_) {
    m_.push_back(ops::zeros(p.shape(), p.value().device()));
    v_.push_back(ops::zeros(p.shape(), p.value().device()));
  }
  step_ = ops::zeros({1}, parameters_[0].value().device(), DType::i32);
}

void Adam::step() {
  ops::increment(step_);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Variable& p = parameters_[i];
    if (!p.grad().defined()) continue;
    ops::adam(p.mutable_value(), m_[i], v_[i], p.grad(), step_, params_);
  }
}

void Adam::zero_grad() {
  for (Variable& p : parameters_) p.zero_grad();
}

}  // namespace versor
