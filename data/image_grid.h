// Writes images as a PNG picture: each row of the grid is a batch, e.g. originals above their
// reconstructions.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

// rows_of_images[r] is f32 [n,H,W,C], C = 3 (RGB) or 1 (grey), on any device; the rows may differ
// in all of these. Values -1..1 become 0..255; what lies outside is clamped; a pixel with a NaN is
// magenta. Images are enlarged `scale` times and stand 2 white pixels apart.
// The file appears whole or not at all: it is written as path + ".tmp" and renamed.
// Throws Error, naming the file, if it cannot be written or the images have no such shape.
void write_image_grid(const std::string& path, const std::vector<Tensor>& rows_of_images,
                      int scale);

}  // namespace versor
