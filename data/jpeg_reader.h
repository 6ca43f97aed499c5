// Decodes JPEG files (ITU-T T.81, JFIF, and Adobe's CMYK), with libjpeg-turbo.
#pragma once

#include <string>
#include <string_view>

#include "data/picture.h"

namespace versor {

// Whether a file that begins with these bytes says that it is a JPEG.
bool is_jpeg(std::string_view bytes);

// The shape of the picture as decode_jpeg gives it. `path` is for errors.
PictureShape jpeg_shape(std::string_view bytes, const std::string& path);

// Grey or RGB pixels: baseline and progressive files; CMYK becomes RGB without a colour profile;
// turned and mirrored as EXIF's orientation says (Exif 2.32, tag 0x0112).
// Throws Error, naming the path, if the file is damaged (also where libjpeg would only warn), has
// more pixels than kMostPixels or than its size can hold, or more scans than a real picture.
Bitmap decode_jpeg(std::string_view bytes, const std::string& path);

// The orientation 1..8 in the TIFF structure of an EXIF marker; 1 if it has none or is malformed.
int exif_orientation(std::string_view tiff);

}  // namespace versor
