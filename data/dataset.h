// A set of images with labels, as bytes on the host. All other code takes a Dataset and need not
// know where the images came from. The name appears in tables and figures, so that synthetic images
// are never mistaken for CIFAR-10.
// Read next: load_images.h and synthetic.h (where sets come from), batcher.h (how they are fed).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

struct Dataset {
  Tensor images;                // u8 [M,H,W,C], NHWC, on the host, C 1 (grey) or 3 (RGB); read-only
  std::vector<int32_t> labels;  // M classes, counted from 0
  std::string name;  // "CIFAR-10", "synthetic images (not CIFAR-10)", "own images"; part of a
                     // run's identity
  bool synthetic = false;
  std::string folder = {};  // of own images: their folder's name, which is not part of the identity
  std::vector<std::string> classes = {};  // in the order of the labels; empty if they have no names

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  // For tables: "own images of pets".
  std::string title() const { return folder.empty() ? name : name + " of " + folder; }
};

struct DatasetPair {
  Dataset train, test;
  Dataset validation = {};  // empty unless the files have a part of their own for it
};

// One more than the largest label in training and test set, which are not empty.
int64_t class_count(const DatasetPair& images);

// The images begin..end-1. They are a view: the memory of the whole set stays alive with them.
inline Dataset part(const Dataset& set, int64_t begin, int64_t end) {
  Dataset some{set.images.rows(begin, end),
               {set.labels.begin() + begin, set.labels.begin() + end},
               set.name,
               set.synthetic,
               set.folder,
               set.classes};
  return some;
}

// The same images, each with left and right exchanged.
Dataset mirrored(const Dataset& set);

// The first n images. Throws if n < 1 or n exceeds the set.
inline Dataset head(const Dataset& set, int64_t n) {
  check(n >= 1 && n <= set.size(), "head", "cannot take the first ", n, " images of the ",
        set.size(), " of ", set.name);
  return part(set, 0, n);
}

// The last n images.
inline Dataset tail(const Dataset& set, int64_t n) {
  check(n >= 1 && n <= set.size(), "tail", "cannot take the last ", n, " images of the ",
        set.size(), " of ", set.name);
  return part(set, set.size() - n, set.size());
}

}  // namespace versor
