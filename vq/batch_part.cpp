// Parts of a batch: see batch_part.h.
#include "vq/batch_part.h"

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

void BatchMeans::begin(const BatchPart& part, bool is_sweep) {
  weight_ = part.weight();
  next_ = 0;
  is_sweep_ = is_sweep;
  if (is_sweep || is_summed_ || !needs_sweep()) return;
  for (Tensor& mean : means_) communicator_.all_reduce(mean);
  is_summed_ = true;
}

Variable BatchMeans::operator()(const Variable& of_part) {
  Tensor mean;
  if (is_sweep_ || !needs_sweep()) {
    mean = ops::scaled(of_part.value(), weight_);
    if (!needs_sweep()) {
      communicator_.all_reduce(mean);
    } else if (next_ == means_.size()) {
      means_.push_back(mean);
    } else {
      ops::add_to(means_[next_], mean);
    }
  } else {
    mean = means_[next_];
  }
  ++next_;
  return record("batch_mean", mean, {of_part}, [](const Tensor& dy) { return dy; });
}

}  // namespace versor
