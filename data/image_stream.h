// The images of batches, for a set that stays on the host because the device has no room for it. A
// thread gathers the next batch while the device works on this one; so the pages of a mapped file
// are read from the disk ahead of their use.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

using ImageOrder = std::shared_ptr<const std::vector<int32_t>>;  // indices of images

class ImageStream {
 public:
  // images u8 [M,H,W,C] on the host. Takes memory for one batch on each side with the first fetch.
  ImageStream(Tensor images, int64_t batch_size, Device device)
      : images_(std::move(images)), batch_size_(batch_size), device_(device) {}

  // Copies batch b of the order to the device, and begins to gather the one after it.
  void fetch(const ImageOrder& order, int64_t b);
  // The images of the batch that was fetched last, u8 [batch_size,H,W,C]; in a smaller batch those
  // after its end are old. The address stays the same.
  const Tensor& fetched() const { return fetched_; }
  const Tensor& places() const { return places_; }  // i32 [batch_size]: 0, 1, 2, ...

 private:
  void gather(const ImageOrder& order, int64_t b);

  Tensor images_;
  int64_t batch_size_;
  Device device_;
  Tensor fetched_, places_;
  std::vector<uint8_t> gathered_;  // batch `batch_` of `order_`, on the host
  ImageOrder order_;
  int64_t batch_ = -1;
  std::future<void> ahead_;  // of the thread that gathers; the last member, so that it ends first
};

}  // namespace versor
