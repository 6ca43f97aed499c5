// Batches by index: see batcher.h. The order of an epoch is made once, on the host (50,000 numbers
// take milliseconds); batches are views of it.
#include "data/batcher.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "tensor/ops.h"

namespace versor {

int64_t Epoch::batches() const {
  return (order_.dim(0) + batch_size_ - 1) / batch_size_;
}

int64_t Epoch::batch_count(int64_t b) const {
  check(0 <= b && b < batches(), "batcher", "there is no batch ", b, " among ", batches(),
        " (counted from 0)");
  return std::min(batch_size_, order_.dim(0) - b * batch_size_);
}

Tensor Epoch::indices(int64_t b) const {
  const int64_t count = batch_count(b);
  return order_.rows(b * batch_size_, b * batch_size_ + count);
}

Tensor Epoch::batch(int64_t b) const {
  const Tensor index = indices(b);
  return ops::gather_images(images_, index, {}, index.numel(), index.numel(), 2.f / 255.f, -1.f);
}

Tensor Epoch::batch_at(const Tensor& number, int64_t count) const {
  return ops::gather_images(images_, order_, number, batch_size_, count, 2.f / 255.f, -1.f);
}

Batcher::Batcher(const Dataset& set, int64_t batch_size, Device device) : batch_size_(batch_size) {
  check(batch_size >= 1, "batcher", "batch size ", batch_size,
        " is less than 1 (the data: ", set.size(), " images of ", set.name, ")");
  check(batch_size <= set.size(), "batcher", "batch size ", batch_size,
        " is larger than the data: ", set.size(), " images of ", set.name);
  check(set.size() <= std::numeric_limits<int32_t>::max(), "batcher", set.size(),
        " images are more than an i32 index can count");
  check(set.images.shape().rank() == 4 && set.images.dim(0) == set.size(), "batcher",
        "needs images [", set.size(), ",H,W,C], one per label, got ", set.images.shape());
  images_ = set.images.to(device);
}

Epoch Batcher::shuffled(Rng rng, int64_t epoch) const {
  const Rng epoch_rng = rng.split(static_cast<uint64_t>(epoch));
  const auto count = static_cast<uint32_t>(size());
  std::vector<int32_t> order(count);
  for (uint32_t i = 0; i < count; ++i) order[i] = static_cast<int32_t>(epoch_rng.permute(i, count));
  return {images_, Tensor::from(order, {size()}, images_.device()), batch_size_};
}

Epoch Batcher::in_order() const {
  std::vector<int32_t> order(static_cast<size_t>(size()));
  std::iota(order.begin(), order.end(), 0);
  return {images_, Tensor::from(order, {size()}, images_.device()), batch_size_};
}

}  // namespace versor
