// IDX files, the format of MNIST (LeCun, Cortes, Burges; http://yann.lecun.com/exdb/mnist/) and
// Fashion-MNIST: two zero bytes, the type of the numbers (8: bytes), the number of dimensions, each
// dimension as 32 bits with the highest byte first, then the numbers. Images have the dimensions
// [M,H,W], labels [M].
#pragma once

#include "data/picture.h"

namespace versor {

// train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
// t10k-labels-idx1-ubyte, also with a point before "idx"; unpacked. Grey images of any one size.
// Only the first file must be there: without labels all are 0, and without test images there are
// none. Throws Error, naming the file, if one is not what it should be.
PictureSet find_mnist(const std::string& folder);

}  // namespace versor
