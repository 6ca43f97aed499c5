// Decodes PNG files (W3C, "Portable Network Graphics (PNG) Specification"), with libpng.
#pragma once

#include <string>
#include <string_view>

#include "data/picture.h"

namespace versor {

// Whether a file that begins with these bytes says that it is a PNG.
bool is_png(std::string_view bytes);

// The shape of the picture, from the file's header alone. `path` is for errors.
PictureShape png_shape(std::string_view bytes, const std::string& path);

// 8-bit grey or RGB pixels of all kinds of PNG: palettes are expanded, 16 bits rounded to 8, and
// what is transparent is laid on white. Gamma and colour profiles are not applied.
// Throws Error, naming the path, if the file is damaged, or promises more pixels than its size can
// hold (compression by more than 1032 is impossible in PNG) or than kMostPixels.
Bitmap decode_png(std::string_view bytes, const std::string& path);

}  // namespace versor
