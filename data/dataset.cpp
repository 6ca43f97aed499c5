// Sets of images: see dataset.h.
#include "data/dataset.h"

#include <algorithm>

namespace versor {

Dataset mirrored(const Dataset& set) {
  Dataset other = set;
  other.images = Tensor(set.images.shape(), DType::u8);
  const int64_t W = set.images.dim(2), C = set.images.dim(3);
  const auto* from = set.images.data<uint8_t>();
  auto* to = other.images.data<uint8_t>();
  for (int64_t pixel = 0; pixel < set.images.numel() / C; ++pixel)
    std::copy_n(from + (pixel / W * W + W - 1 - pixel % W) * C, C, to + pixel * C);
  return other;
}

int64_t class_count(const DatasetPair& images) {
  const auto largest = [](const Dataset& set) { return *std::ranges::max_element(set.labels); };
  return 1 + std::max(largest(images.train), largest(images.test));
}

}  // namespace versor
