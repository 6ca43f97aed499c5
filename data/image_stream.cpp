// Images that stay on the host: see image_stream.h.
#include "data/image_stream.h"

#include <algorithm>
#include <numeric>

namespace versor {

void ImageStream::gather(const ImageOrder& order, int64_t b) {
  const int64_t begin = b * batch_size_;
  const int64_t end = std::min(begin + batch_size_, static_cast<int64_t>(order->size()));
  const int64_t bytes = images_.numel() / images_.dim(0);  // of an image
  const uint8_t* images = images_.data<uint8_t>();
  for (int64_t i = begin; i < end; ++i)
    std::copy_n(images + (*order)[static_cast<size_t>(i)] * bytes, bytes,
                gathered_.data() + (i - begin) * bytes);
  order_ = order;
  batch_ = b;
}

void ImageStream::fetch(const ImageOrder& order, int64_t b) {
  if (!fetched_.defined()) {
    const Shape& s = images_.shape();
    fetched_ = Tensor({batch_size_, s[1], s[2], s[3]}, DType::u8, device_);
    gathered_.resize(fetched_.bytes());
    std::vector<int32_t> places(static_cast<size_t>(batch_size_));
    std::iota(places.begin(), places.end(), 0);
    places_ = Tensor::from(places, {batch_size_}, device_);
  }
  if (ahead_.valid()) ahead_.get();
  if (order_ != order || batch_ != b) gather(order, b);
  fetched_.copy_from_host(gathered_.data());
  if ((b + 1) * batch_size_ < static_cast<int64_t>(order->size()))
    ahead_ = std::async(std::launch::async, [this, order, b] { gather(order, b + 1); });
}

}  // namespace versor
