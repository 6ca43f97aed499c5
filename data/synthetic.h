// Images drawn by a program, for tests and for machines without CIFAR-10. They contain what a
// VQ-VAE must learn to encode (smooth colour, edges, repeated texture, a little noise). Results on
// them say nothing about CIFAR-10, and their name says so wherever it is printed.
#pragma once

#include "data/dataset.h"

namespace versor {

// `train` and `test` images [M,32,32,3]; image i has class i mod 10, so that any ten consecutive
// images contain each class once. Integer arithmetic and counter-based random numbers with a fixed
// seed give the same bytes on every machine; image i does not depend on how many are asked for.
// Throws unless both numbers are in 1..1,000,000.
DatasetPair synthetic_images(int64_t train, int64_t test);

}  // namespace versor
