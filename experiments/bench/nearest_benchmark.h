// Speed of the nearest-code search, compared with the bare matrix product that it contains: e.c of
// all rows and codes, in f32 and, if the CPU has instructions for it, in bf16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/device.h"

namespace versor {

struct NearestMeasurement {
  int64_t rows, codes, latent;
  double seconds;               // of the search, median
  double product_seconds;       // of the bare product in f32
  double bf16_product_seconds;  // 0: there is none on this device
  size_t peak_bytes;            // most that the search allocated, result included

  double flops() const;  // multiplications and additions of the product
};

// Measures search and products alternately, `repeats` times each, on independent uniform numbers:
// all distances are then similar, which is the hardest case for the search.
NearestMeasurement measure_nearest(int64_t rows, int64_t codes, int64_t latent, Device device,
                                   int64_t repeats);

// K from 256 to 65536, D 4, 64 and 256.
std::vector<std::pair<int64_t, int64_t>> nearest_sizes();

}  // namespace versor
