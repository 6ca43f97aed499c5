// Writes images as PNG files: as one picture whose rows are batches, e.g. originals above their
// reconstructions; or each image as a file of its own, for programs that read folders of images.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

// rows_of_images[r] is f32 [n,H,W,C], C = 3 (RGB) or 1 (grey), on any device; the rows may differ
// in all of these. Values -1..1 become 0..255; what lies outside is clamped; a pixel with a NaN is
// magenta. Images are enlarged `scale` times and stand 2 white pixels apart.
// The file appears whole or not at all (tensor/file.h).
// Throws Error, naming the file, if it cannot be written or the images have no such shape.
void write_image_grid(const std::string& path, const std::vector<Tensor>& rows_of_images,
                      int scale);

// Each of the images f32 [n,H,W,C] as above, in its own size, as a file of `folder`, which is made
// if it is missing: 00000.png, 00001.png and so on, counted from `first`. The files are RGB with 8
// bits and the same pixels as in a grid; each appears whole or not at all. Throws Error like
// write_image_grid, naming the first file that cannot be written; the others are written then too.
void write_png_files(const std::string& folder, const Tensor& images, int64_t first = 0);

}  // namespace versor
