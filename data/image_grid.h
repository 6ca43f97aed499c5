// Writes images as PNG files: as one picture whose rows are batches, e.g. originals above their
// reconstructions, or each image as its own file, for programs that read folders of images.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

// rows_of_images[r] is f32 [n,H,W,C], C = 3 (RGB) or 1 (grey), on any device; the rows may differ
// in all of these. Values -1..1 become 0..255; values outside are clamped; a pixel with a NaN is
// magenta. Images are enlarged `scale` times, with 2 white pixels between them.
// The file appears whole or not at all (tensor/file.h).
// Throws Error, naming the file, if it cannot be written or the images have no such shape.
void write_image_grid(const std::string& path, const std::vector<Tensor>& rows_of_images,
                      int scale);

// The same of images f32 [N,H,W,C], row by row, as nearly square as whole images allow.
void write_square_grid(const std::string& path, const Tensor& images);

// Writes each image of f32 [n,H,W,C], in its own size, to `folder` (created if it does not exist)
// as 00000.png, 00001.png and so on, counted from `first`. The files are 8-bit RGB with the same
// pixels as in a grid; each appears whole or not at all. Throws Error like write_image_grid, naming
// the first file that cannot be written; the other files are written all the same.
void write_png_files(const std::string& folder, const Tensor& images, int64_t first = 0);

}  // namespace versor
