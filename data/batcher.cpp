// Batches by index: see batcher.h. The order of an epoch is made once, on the host (50,000 numbers
// take milliseconds); batches are views of it.
#include "data/batcher.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "tensor/backend.h"
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

void Epoch::fetch(int64_t b) const {
  batch_count(b);  // throws for a batch that does not exist
  if (stream_) stream_->fetch(indices_, b);
}

Tensor Epoch::batch(int64_t b) const {
  fetch(b);
  const Tensor index = stream_ ? stream_->places().rows(0, batch_count(b)) : indices(b);
  const Tensor images = ops::gather_images(stream_ ? stream_->fetched() : images_, index, {},
                                           index.numel(), index.numel(), 2.f / 255.f, -1.f);
  if (!moves_.defined()) return images;
  const int64_t first = b * batch_size_;
  return ops::move_images(images, moves_.rows(first, first + index.numel()), {}, index.numel());
}

Tensor Epoch::labels(int64_t b) const {
  std::vector<int32_t> labels(static_cast<size_t>(batch_count(b)));
  const int32_t* index = indices_->data() + b * batch_size_;
  for (int32_t& label : labels) label = (*labels_)[static_cast<size_t>(*index++)];
  return Tensor::from(labels, {batch_count(b)}, order_.device());
}

Tensor Epoch::batch_at(const Tensor& number, int64_t count, int64_t first) const {
  check(!stream_ || stream_->fetched().defined(), "batcher", "batch_at() comes after fetch()");
  check(0 <= first && 0 < count && first + count <= batch_size_, "batcher", "a batch of ",
        batch_size_, " has no images ", first, " to ", first + count - 1);
  // Seen from its image `first` on, the order has the batches at the same distances.
  const auto from_first = [&](const Tensor& order) { return order.rows(first, order.dim(0)); };
  const Tensor images = stream_
                            ? ops::gather_images(stream_->fetched(), from_first(stream_->places()),
                                                 {}, count, count, 2.f / 255.f, -1.f)
                            : ops::gather_images(images_, from_first(order_), number, batch_size_,
                                                 count, 2.f / 255.f, -1.f);
  return moves_.defined() ? ops::move_images(images, from_first(moves_), number, batch_size_)
                          : images;
}

void Epoch::take(const Epoch& other) {
  indices_ = other.indices_;
  ops::copy(order_, other.order_);
  if (moves_.defined()) ops::copy(moves_, other.moves_);
}

Batcher::Batcher(const Dataset& set, int64_t batch_size, Device device,
                 const Augmentation& augmentation, Feeding feeding)
    : labels_(std::make_shared<std::vector<int32_t>>(set.labels.begin(), set.labels.end())),
      batch_size_(batch_size),
      device_(device),
      augmentation_(augmentation) {
  check(batch_size >= 1, "batcher", "batch size ", batch_size,
        " is less than 1 (the data: ", set.size(), " images of ", set.name, ")");
  check(batch_size <= set.size(), "batcher", "batch size ", batch_size,
        " is larger than the data: ", set.size(), " images of ", set.name);
  check(set.size() <= std::numeric_limits<int32_t>::max(), "batcher", set.size(),
        " images are more than an i32 index can count");
  check(set.images.shape().rank() == 4 && set.images.dim(0) == set.size(), "batcher",
        "needs images [", set.size(), ",H,W,C], one per label, got ", set.images.shape());
  check(0 <= augmentation.shift &&
            augmentation.shift < std::min(set.images.dim(1), set.images.dim(2)),
        "batcher", "cannot shift images ", set.images.shape(), " by ", augmentation.shift);
  const size_t bytes = set.images.bytes(), room = backend_for(device).pool().room();
  streamed_ = feeding == Feeding::streamed || (feeding == Feeding::automatic && bytes > room / 2);
  feeding_ = str(readable_bytes(bytes), " of images, ", streamed_ ? "streamed" : "resident");
  if (feeding == Feeding::automatic)
    feeding_ += str(": ", streamed_ ? "more" : "not more", " than half of the ",
                    readable_bytes(room), " that ", device, " has free");
  images_ = streamed_ ? set.images : set.images.to(device);
}

Epoch Batcher::shuffled(Rng rng, int64_t epoch) const {
  const Rng epoch_rng = rng.split(static_cast<uint64_t>(epoch)), moves_rng = epoch_rng.split(0);
  const auto count = static_cast<uint32_t>(size());
  const auto choices = static_cast<uint32_t>(2 * augmentation_.shift + 1);
  const auto shift = [&](uint32_t bits) {
    return static_cast<int32_t>(bits % choices) - static_cast<int32_t>(augmentation_.shift);
  };
  std::vector<int32_t> order, moves;
  order.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t image = epoch_rng.permute(i, count);
    order.push_back(static_cast<int32_t>(image));
    if (augmentation_.none()) continue;
    const auto bits = moves_rng.block(image);
    const auto mirrored = static_cast<int32_t>(augmentation_.mirror ? bits[0] >> 31 : 0);
    moves.insert(moves.end(), {mirrored, shift(bits[1]), shift(bits[2])});
  }
  return epoch_of(std::move(order), moves);
}

Epoch Batcher::in_order() const {
  std::vector<int32_t> order(static_cast<size_t>(size()));
  std::iota(order.begin(), order.end(), 0);
  const std::vector<int32_t> moves(augmentation_.none() ? 0 : 3 * order.size());
  return epoch_of(std::move(order), moves);
}

Epoch Batcher::epoch_of(std::vector<int32_t> order, const std::vector<int32_t>& moves) const {
  Epoch epoch;
  if (streamed_)
    epoch.stream_ = std::make_shared<ImageStream>(images_, batch_size_, device_);
  else
    epoch.images_ = images_;
  epoch.labels_ = labels_;
  epoch.order_ = Tensor::from(order, {size()}, device_);
  if (!moves.empty()) epoch.moves_ = Tensor::from(moves, {size(), 3}, device_);
  epoch.indices_ = std::make_shared<std::vector<int32_t>>(std::move(order));
  epoch.batch_size_ = batch_size_;
  return epoch;
}

}  // namespace versor
