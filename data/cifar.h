// CIFAR-10 and CIFAR-100 in their official binary versions (Krizhevsky, "Learning Multiple Layers
// of Features from Tiny Images", 2009; format: https://www.cs.toronto.edu/~kriz/cifar.html), and
// other images in the same files. A file is a sequence of any number of records: a label byte 0..9,
// or in CIFAR-100 a coarse label 0..19 and a fine one 0..99; then 3,072 bytes of pixels: the red
// plane, the green and the blue, each 32 rows of 32.
#pragma once

#include "data/picture.h"

namespace versor {

// data_batch_1.bin, data_batch_2.bin and so on until one is missing, and test_batch.bin. Without
// the latter there are no test images. The name is "CIFAR-10" only with the official numbers of
// images. Throws Error, naming the file, if the first is missing, one is followed by a gap, or one
// is not what it should be.
PictureSet find_cifar10(const std::string& folder);
// train.bin and, if it is there, test.bin. The labels are the fine ones.
PictureSet find_cifar100(const std::string& folder);

}  // namespace versor
