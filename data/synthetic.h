// Pictures drawn by a program, for machines without CIFAR-10 and for tests. They have what a
// VQ-VAE must learn to code (smooth colour, edges, repeated texture, a little noise), but results
// on them say nothing about CIFAR-10, and their name says so wherever it is printed.
#pragma once

#include "data/dataset.h"

namespace versor {

// `train` and `test` images [M,32,32,3]; image i has class i mod 10, so that every ten images in a
// row hold each class once. Made of integers and counter-based random numbers with a fixed seed:
// the same bytes on every machine, and the first images are the same whatever the number asked for.
// Throws unless both numbers are in 1..1,000,000.
DatasetPair synthetic_images(int64_t train, int64_t test);

}  // namespace versor
