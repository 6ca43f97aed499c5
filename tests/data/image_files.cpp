// Image files for tests: see image_files.h.
#include "tests/data/image_files.h"

#include <png.h>

#include <cstdio>
#include <cstdlib>
// after FILE is known
#include <jpeglib.h>

namespace versor::testing {

std::string png_file(const PngContent& c) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep bytes, png_size_t count) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(bytes), count);
      },
      nullptr);
  png_set_IHDR(png, info, c.width, c.height, c.depth, c.colour,
               c.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette;
  for (size_t i = 0; i < c.palette.size(); i += 3)
    palette.push_back({c.palette[i], c.palette[i + 1], c.palette[i + 2]});
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  if (!c.transparency.empty())
    png_set_tRNS(png, info, c.transparency.data(), static_cast<int>(c.transparency.size()),
                 nullptr);
  std::vector<uint8_t> bytes = c.bytes;
  const size_t row = bytes.size() / c.height;
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < c.height; ++y) rows.push_back(bytes.data() + y * row);
  png_set_rows(png, info, rows.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::string jpeg_file(const JpegContent& c) {
  jpeg_error_mgr errors;
  jpeg_compress_struct jpeg;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  jpeg_mem_dest(&jpeg, &memory, &bytes);
  jpeg.image_width = static_cast<JDIMENSION>(c.width);
  jpeg.image_height = static_cast<JDIMENSION>(c.height);
  jpeg.input_components = c.channels;
  jpeg.in_color_space = c.channels == 1 ? JCS_GRAYSCALE : c.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, c.quality, TRUE);
  for (int i = 0; i < c.channels; ++i)  // no colour is shared between pixels
    jpeg.comp_info[i].h_samp_factor = jpeg.comp_info[i].v_samp_factor = 1;
  if (c.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  if (c.orientation > 0) {
    const std::string exif =
        std::string("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 25) +
        static_cast<char>(c.orientation) + std::string(6, '\0');
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  std::vector<uint8_t> pixels = c.pixels;
  for (int64_t y = 0; y < c.height; ++y) {
    JSAMPROW row = pixels.data() + y * c.width * c.channels;
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string out(reinterpret_cast<char*>(memory), bytes);
  std::free(memory);
  return out;
}

std::vector<uint8_t> colourful(int64_t width, int64_t height, int64_t channels, int seed) {
  std::vector<uint8_t> pixels;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        pixels.push_back(static_cast<uint8_t>(7 * x + 13 * y + 61 * c + x * y + 29 * seed));
  return pixels;
}

std::string idx_file(const std::vector<int64_t>& dimensions, const std::vector<uint8_t>& bytes) {
  std::string out = {0, 0, 8, static_cast<char>(dimensions.size())};
  for (int64_t d : dimensions)
    for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(d >> shift));
  return out + std::string(bytes.begin(), bytes.end());
}

}  // namespace versor::testing
