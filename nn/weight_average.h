// An average of a network's weights over the steps of its training, for use in place of the last
// ones (Polyak and Juditsky 1992; with a decay, as in Ho, Jain and Abbeel 2020).
#pragma once

#include "nn/flat_parameters.h"

namespace versor {

class WeightAverage {
 public:
  // Of all values of `parameters`, which it begins with and which must outlive it.
  WeightAverage(FlatParameters& parameters, double decay);

  // After step number `step`, from 0 on: a = d a + (1 - d) w with
  // d = min(decay, (1 + step) / (10 + step)), a shorter memory in the first steps.
  void update(int64_t step);
  // The average takes the place of the values, and they its; once more, and all is as before.
  void swap();
  // f32 [P], for a checkpoint: what lies in it can be replaced.
  Tensor& values() { return average_; }

 private:
  FlatParameters& parameters_;
  double decay_;
  Tensor average_;
};

}  // namespace versor
