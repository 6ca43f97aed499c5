// Image files made by the tests, with libpng and libjpeg and byte by byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/file.h"

namespace versor::testing {

// Raw content of a PNG: rows of packed samples as the file has them before filtering.
struct PngContent {
  int64_t width = 0, height = 0;
  int depth = 8, colour = 2;  // 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha
  std::vector<uint8_t> bytes = {};
  std::vector<uint8_t> palette = {};       // R, G, B of each entry
  std::vector<uint8_t> transparency = {};  // alpha of the first entries of the palette
  bool interlaced = false;
};
std::string png_file(const PngContent& content);

// `pixels` [height,width,channels]: grey, YCbCr of RGB, or Adobe's inverted CMYK as stored. Blocks
// of one colour come back as they were, give or take one.
struct JpegContent {
  int64_t width = 0, height = 0;
  int channels = 3;
  std::vector<uint8_t> pixels = {};
  int quality = 100;
  bool progressive = false;
  int orientation = 0;  // an EXIF marker with it, unless 0
};
std::string jpeg_file(const JpegContent& content);

// An RGB picture whose pixels depend on the place and on `seed`.
std::vector<uint8_t> colourful(int64_t width, int64_t height, int64_t channels, int seed = 0);

// Writes a file and the folders above it.
inline void put_file(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_file(path, content);
}

// An IDX file of bytes with these dimensions.
std::string idx_file(const std::vector<int64_t>& dimensions, const std::vector<uint8_t>& bytes);

}  // namespace versor::testing
