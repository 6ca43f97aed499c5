// Reader of PNG files: see png_reader.h. libpng reports errors with longjmp: what lies between the
// setjmp and the error has no destructors.
#include "data/png_reader.h"

#include <png.h>

#include <csetjmp>
#include <cstring>

namespace versor {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr uint64_t kMostCompressed = 1032;              // of deflate: 258 bytes in two bits
constexpr uint64_t kMostExpanded = uint64_t{64} << 20;  // bytes beyond that, from palettes and bits

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view rest;
  char error[128] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(decoder->error, text, sizeof decoder->error - 1);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

void take_bytes(png_structp png, png_bytep target, size_t count) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > decoder->rest.size()) png_error(png, "it ends too early");
  std::memcpy(target, decoder->rest.data(), count);
  decoder->rest.remove_prefix(count);
}

// Reads the header and asks for 8-bit pixels: grey, grey with alpha, RGB or RGB with alpha.
bool begin(Decoder& d, const PictureShape& shape) {
  d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
  if (d.png == nullptr || (d.info = png_create_info_struct(d.png)) == nullptr) return false;
  if (setjmp(png_jmpbuf(d.png))) return false;
  png_set_user_limits(d.png, static_cast<png_uint_32>(shape.width),
                      static_cast<png_uint_32>(shape.height));
  // Chunks other than pixels, palette and transparency are skipped: libpng would allocate as much
  // as they say that they have.
  png_set_keep_unknown_chunks(d.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_read_fn(d.png, &d, take_bytes);
  png_read_info(d.png, d.info);
  png_set_expand(d.png);
  png_set_scale_16(d.png);
  png_set_interlace_handling(d.png);
  png_read_update_info(d.png, d.info);
  return true;
}

bool read_rows(Decoder& d, png_bytepp rows) {
  if (setjmp(png_jmpbuf(d.png))) return false;
  png_read_image(d.png, rows);
  png_read_end(d.png, nullptr);  // checks the last checksums
  return true;
}

// Lays pixels with alpha, [n,channels+1], on white: [n,channels], in the same memory.
void lay_on_white(uint8_t* pixels, int64_t n, int64_t channels) {
  const uint8_t* from = pixels;
  for (int64_t i = 0; i < n; ++i, from += channels + 1)
    for (int64_t c = 0; c < channels; ++c) {
      const int alpha = from[channels], value = from[c];
      *pixels++ = static_cast<uint8_t>((alpha * value + (255 - alpha) * 255 + 127) / 255);
    }
}

}  // namespace

bool is_png(std::string_view bytes) {
  return bytes.starts_with(kSignature);
}

PictureShape png_shape(std::string_view bytes, const std::string& path) {
  check(is_png(bytes) && bytes.size() >= 33 && bytes.substr(12, 4) == "IHDR", "png", path,
        " is no PNG file");
  const uint32_t width = big_endian(bytes, 16), height = big_endian(bytes, 20);
  const auto kind = static_cast<uint8_t>(bytes[25]);
  const bool colour = (kind & PNG_COLOR_MASK_COLOR) != 0;
  check(width > 0 && height > 0 && uint64_t{width} * height <= kMostPixels, "png", path,
        " says that it has ", width, "x", height, " pixels; 1 to ", kMostPixels, " are read");
  return {height, width, colour ? 3 : 1};
}

Bitmap decode_png(std::string_view bytes, const std::string& path) {
  Bitmap picture{png_shape(bytes, path), {}};
  const auto width = static_cast<uint64_t>(picture.shape.width);
  const auto height = static_cast<uint64_t>(picture.shape.height);
  const auto depth = static_cast<uint8_t>(bytes[24]), kind = static_cast<uint8_t>(bytes[25]);
  const uint64_t bits = depth * (kind == PNG_COLOR_TYPE_RGB ? 3u : 1u);  // of a pixel, at least
  check((width * bits + 7) / 8 * height <= kMostCompressed * bytes.size(), "png", path, " has ",
        bytes.size(), " bytes, too few for the ", width, "x", height, " pixels that it promises");
  Decoder decoder;
  decoder.rest = bytes;
  const auto failed = [&] { fail("png", path, " cannot be decoded: ", decoder.error); };
  if (!begin(decoder, picture.shape)) failed();
  const uint64_t row = png_get_rowbytes(decoder.png, decoder.info);
  const int64_t with_alpha = png_get_channels(decoder.png, decoder.info);
  check(row * height <= kMostCompressed * bytes.size() + kMostExpanded, "png", path, " has ",
        bytes.size(), " bytes, which would become ", row * height);
  picture.pixels.resize(row * height);
  std::vector<png_bytep> rows;
  for (uint64_t y = 0; y < height; ++y) rows.push_back(picture.pixels.data() + y * row);
  if (!read_rows(decoder, rows.data())) failed();
  if (with_alpha > picture.shape.channels) {
    lay_on_white(picture.pixels.data(), picture.shape.height * picture.shape.width,
                 picture.shape.channels);
    picture.pixels.resize(static_cast<size_t>(picture.shape.bytes()));
  }
  return picture;
}

}  // namespace versor
