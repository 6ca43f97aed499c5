// Adam: see adam.h.
#include "nn/adam.h"

#include "tensor/ops.h"

namespace versor {

Adam::Adam(ParameterList parameters, AdamParams params)
    : parameters_(std::move(parameters)),
      params_(params),
      moments1_(parameters_.new_flat()),
      moments2_(parameters_.new_flat()),
      m_(parameters_.views(moments1_)),
      v_(parameters_.views(moments2_)) {
  check(params.lr >= 0 && params.eps >= 0 && params.weight_decay >= 0, "adam", "lr ", params.lr,
        ", eps ", params.eps, " and weight_decay ", params.weight_decay, " must not be negative");
  for (float beta : {params.beta1, params.beta2})
    check(0 <= beta && beta < 1, "adam", "a beta lies in [0,1), not ", beta);
  const auto n = static_cast<int64_t>(parameters_.size());
  counters_ = ops::zeros({1 + n}, parameters_.device(), DType::i32);
  step_ = counters_.rows(0, 1);
  counts_ = counters_.rows(1, 1 + n);
  for (int64_t i = 0; i < n; ++i) parameter_steps_.push_back(counts_.rows(i, i + 1));
}

Adam::Adam(std::vector<Variable> parameters, AdamParams params)
    : Adam(ParameterList(std::move(parameters)), params) {}

Adam::Adam(const FlatParameters& parameters, AdamParams params)
    : Adam(static_cast<const ParameterList&>(parameters), params) {}

void Adam::step(const Tensor& guard) {
  const auto parts = parameters_.with_gradient();
  std::vector<int32_t> counted = {0};  // in counters_
  for (const ParameterPart& part : parts) counted.push_back(1 + part.index);
  ops::increment(counters_, counted);
  ops::adam(moments1_, moments2_, parts, step_, counts_, guard, params_);
}

}  // namespace versor
