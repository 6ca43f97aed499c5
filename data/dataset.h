// A set of images with labels, as bytes on the host. All other code takes a Dataset and need not
// know where the images came from. The name appears in tables and figures, so that synthetic images
// are never mistaken for CIFAR-10.
// Read next: cifar10.h and synthetic.h (where sets come from), batcher.h (how they are fed).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

struct Dataset {
  Tensor images;                // u8 [M,32,32,3], NHWC, on the host
  std::vector<uint8_t> labels;  // M classes, 0..9
  std::string name;             // "CIFAR-10" or "synthetic images (not CIFAR-10)"
  bool synthetic = false;

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

struct DatasetPair {
  Dataset train, test;
};

// The first n images. They are a view: the memory of the whole set stays alive with them.
// Throws if n < 1 or n exceeds the set.
inline Dataset head(const Dataset& set, int64_t n) {
  check(n >= 1 && n <= set.size(), "head", "cannot take the first ", n, " images of the ",
        set.size(), " of ", set.name);
  return {
      set.images.rows(0, n), {set.labels.begin(), set.labels.begin() + n}, set.name, set.synthetic};
}

// The last n images, as a view too.
inline Dataset tail(const Dataset& set, int64_t n) {
  check(n >= 1 && n <= set.size(), "tail", "cannot take the last ", n, " images of the ",
        set.size(), " of ", set.name);
  return {set.images.rows(set.size() - n, set.size()),
          {set.labels.end() - n, set.labels.end()},
          set.name,
          set.synthetic};
}

}  // namespace versor
