// CIFAR-10 in its official binary version (Krizhevsky, "Learning Multiple Layers of Features from
// Tiny Images", 2009; format: https://www.cs.toronto.edu/~kriz/cifar.html).
// A file is a sequence of records: a label byte (0..9), then 3,072 bytes of pixels: the red plane,
// the green and the blue, each 32 rows of 32. They become NHWC as they are read.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace versor {

// The 50,000 training images (data_batch_1.bin to data_batch_5.bin, in this order) and the 10,000
// test images (test_batch.bin) of a folder. Throws Error, naming the file, if something is missing
// or is not what it should be.
DatasetPair load_cifar10(const std::string& folder);

// Files of exactly `records` records each, one after the other; load_cifar10 is two such calls.
// A file is measured before it is read: neither a wrong file nor a named pipe can make it hang or
// take more memory than paths.size() * records * 3,073 bytes.
Dataset read_cifar10_files(const std::vector<std::string>& paths, int64_t records);

}  // namespace versor
