// The average of weights: see weight_average.h.
#include "nn/weight_average.h"

#include <algorithm>

#include "tensor/ops.h"

namespace versor {

WeightAverage::WeightAverage(FlatParameters& parameters, double decay)
    : parameters_(parameters), decay_(decay), average_(ops::clone(parameters.values())) {
  check(decay >= 0 && decay < 1, "weight average", "the decay ", decay, " is not in [0,1)");
}

// As a + (1 - d) (w - a), so that an average of equal weights stays what it is.
void WeightAverage::update(int64_t step) {
  if (decay_ == 0) return ops::copy(average_, parameters_.values());
  const auto t = static_cast<double>(step);
  const double d = std::min(decay_, (1 + t) / (10 + t));
  const Tensor change = ops::sub(parameters_.values(), average_);
  ops::add_to(average_, ops::scaled(change, static_cast<float>(1 - d)));
}

void WeightAverage::swap() {
  Tensor values = parameters_.values();
  const Tensor before = ops::clone(values);
  ops::copy(values, average_);
  ops::copy(average_, before);
}

}  // namespace versor
