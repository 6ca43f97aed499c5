// Gradient flow, measured once per epoch: one batch goes forward and backward through the current
// model, which is left unchanged. The trainer does this after an evaluation, in evaluation mode,
// without random draws and without losses that only training has. The numbers show what the
// estimator does: the rotation scales the gradient by lambda = |q|/|e| and turns it by the angle
// between e and q (vq/row_math.h), both about its origin. In a hierarchy they are those of the last
// level.
#pragma once

#include <string>

#include "experiments/run/training_step.h"

namespace versor {

// The header of gradients.csv:
//   epoch, mean_lambda, max_lambda, mean_angle, max_angle   over the rows of the batch; radians
//   gradient_scale, gradient_angle   mean of |de|/|g| and of the angle between de and g, where g is
//                                    the gradient at the decoder's input, the straight-through one,
//                                    and de what the estimator passes on to the encoder
//   <parameter>.norm, .mean, .std    of the total loss's gradient, for every parameter
std::string gradients_header(const VqModel& model);

// A row of gradients.csv, of a batch of so many images. Where it is shared, every rank must call
// this, and all get the row of the whole batch.
std::string gradients_row(int64_t epoch, VqModel& model, int64_t images,
                          const ImagesOfPart& images_of, float beta,
                          const Sharing& sharing = Sharing());
// The same of images [N,H,W,C] that are not shared.
std::string gradients_row(int64_t epoch, VqModel& model, const Tensor& images, float beta);

}  // namespace versor
