// STL-10 in its binary version (Coates, Ng, Lee, "An Analysis of Single-Layer Networks in
// Unsupervised Feature Learning", 2011; format: https://cs.stanford.edu/~acoates/stl10/). A record
// is an image of 96x96 pixels: the red plane, the green and the blue, each column by column. The
// labels 1..10 are bytes in files of their own.
#pragma once

#include "data/picture.h"

namespace versor {

// train_X.bin with train_y.bin, then unlabeled_X.bin, all for training; test_X.bin with test_y.bin.
// Only the first must be there: without labels all are 0, and without test images there are none.
// The unlabelled images have an eleventh class. Throws Error, naming the file, if one is not what
// it should be.
PictureSet find_stl10(const std::string& folder);

}  // namespace versor
