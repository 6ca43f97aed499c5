// Sums of gradients over ranks: see gradient_sums.h.
#include "nn/gradient_sums.h"

#include <algorithm>
#include <sstream>

#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor {

GradientSums::GradientSums(std::vector<Variable> parameters, Communicator& communicator,
                           int64_t bucket_bytes)
    : parameters_(std::move(parameters)), communicator_(communicator), bucket_bytes_(bucket_bytes) {
  for (size_t i = 0; i < parameters_.size(); ++i) places_[parameters_[i].value().address()] = i;
}

std::function<void(const Variable&)> GradientSums::leaf_done() {
  if (list_) restart();
  completed_.clear();
  return [this](const Variable& leaf) {
    const auto place = places_.find(leaf.value().address());
    if (place == places_.end()) return;  // not one of ours
    communicator_.progress();
    if (!list_) return completed_.push_back(place->second);
    for (Bucket& bucket : buckets_)
      if (bucket.begin <= place->second && place->second < bucket.end) --bucket.open;
    while (next_ < buckets_.size() && buckets_[next_].open == 0) start_next();
  };
}

// Rank 0 has the say, although the order is that of the graph, which all ranks have alike.
void GradientSums::make_buckets() {
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (std::ranges::find(completed_, i) == completed_.end()) completed_.push_back(i);
  std::string text;
  for (size_t i : completed_) text += str(i, " ");
  std::istringstream order(communicator_.broadcast(text, 0));
  std::vector<Variable> ordered;
  for (size_t i; order >> i;) ordered.push_back(parameters_[i]);
  parameters_ = ordered;
  for (size_t i = 0; i < parameters_.size(); ++i) places_[parameters_[i].value().address()] = i;
  list_.emplace(parameters_);
  flat_ = list_->new_flat();
  const int64_t most = std::max<int64_t>(1, bucket_bytes_ / static_cast<int64_t>(sizeof(float)));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t end = i + 1 < parameters_.size() ? list_->offset(i + 1) : flat_.numel();
    if (buckets_.empty() || end - buckets_.back().first > most)
      buckets_.push_back({i, i, list_->offset(i), 0, 0});
    buckets_.back().end = i + 1;
    buckets_.back().last = end;
  }
}

void GradientSums::restart() {
  next_ = 0;
  for (Bucket& bucket : buckets_) bucket.open = bucket.end - bucket.begin;
}

void GradientSums::start_next() {
  const Bucket& bucket = buckets_[next_++];
  const auto parts = list_->with_gradient(bucket.begin, bucket.end);
  if (!parts.empty()) ops::gather_gradients(flat_, parts);
  communicator_.start_all_reduce(flat_.rows(bucket.first, bucket.last));
}

void GradientSums::finish() {
  if (!list_) {
    make_buckets();
    restart();
  }
  while (next_ < buckets_.size()) start_next();
  {
    TraceScope trace("wait_for_sums", flat_.backend(), 0, {&flat_});
    communicator_.finish();
  }
  for (const ParameterPart& part : list_->with_gradient()) {
    const auto i = static_cast<size_t>(part.index);
    parameters_[i].set_grad(list_->view(flat_, i));
  }
}

std::vector<int64_t> GradientSums::bucket_sizes() const {
  std::vector<int64_t> sizes;
  for (const Bucket& bucket : buckets_) sizes.push_back(bucket.last - bucket.first);
  return sizes;
}

}  // namespace versor
