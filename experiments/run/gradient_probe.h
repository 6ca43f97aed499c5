// Gradient flow, looked at once an epoch: one batch forward and backward through the model as it is
// then, changing nothing. The trainer looks after an evaluation, so that draws and the losses that
// training alone has are left out. What it shows is what the estimators do: the rotation scales the
// gradient by lambda = |q|/|e| and turns it by the angle between e and q (vq/row_math.h). Of a
// hierarchy all of it is the last level's.
#pragma once

#include <string>

#include "vq/model.h"

namespace versor {

// The columns of gradients.csv:
//   epoch, mean_lambda, max_lambda, mean_angle, max_angle   over the rows of the batch; radians
//   gradient_scale, gradient_angle   mean of |de|/|g| and of the angle between de and g, where g is
//                                    the gradient at the decoder's input, the straight-through one,
//                                    and de what the estimator makes of it for the encoder
//   <parameter>.norm, .mean, .std    of the total loss's gradient, for every parameter
std::string gradients_header(const VqModel& model);

// A row of gradients.csv.   images [N,H,W,C].
std::string gradients_row(int64_t epoch, VqModel& model, const Tensor& images, float beta);

}  // namespace versor
