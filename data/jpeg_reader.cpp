// Reader of JPEG files: see jpeg_reader.h. libjpeg reports errors with longjmp: what lies between
// the setjmp and the error has no destructors.
#include "data/jpeg_reader.h"

// jpeglib.h needs FILE
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

namespace versor {
namespace {

// A block of 8x8 pixels takes at least a bit for its first coefficient.
constexpr uint64_t kMostPixelsPerByte = 8 * 64;
// A progressive file has about ten scans, each of which passes over all pixels; a small file with
// many of them could take minutes.
constexpr uint64_t kMostScans = 100, kMostScannedPixels = 4 * kMostPixels;
constexpr int kOrientationTag = 0x0112;
constexpr std::string_view kExif("Exif\0\0", 6);

struct Decoder {
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  jpeg_decompress_struct jpeg;
  std::jmp_buf back;
  char error[JMSG_LENGTH_MAX] = "";

  Decoder() : errors{}, progress{}, jpeg{}, back{} {}
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&jpeg); }
};

[[noreturn]] void on_error(j_common_ptr jpeg) {
  auto* decoder = static_cast<Decoder*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, decoder->error);
  std::longjmp(decoder->back, 1);
}

// A warning means damaged pixels, except for these, which cameras cause.
void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM &&
      code != JWRN_JFIF_MAJOR)
    on_error(jpeg);
}
void on_output(j_common_ptr) {}

void stop(Decoder& d, const char* why) {
  std::strncpy(d.error, why, sizeof d.error - 1);
  std::longjmp(d.back, 1);
}

void on_progress(j_common_ptr jpeg) {
  auto* d = static_cast<Decoder*>(jpeg->client_data);
  const auto scans = static_cast<uint64_t>(d->jpeg.input_scan_number);
  const uint64_t pixels = uint64_t{d->jpeg.image_width} * d->jpeg.image_height;
  if (scans > kMostScans || (scans > 20 && scans * pixels > kMostScannedPixels))
    stop(*d, "it has too many scans");
}

bool read_header(Decoder& d, std::string_view bytes) {
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = on_error;
  d.errors.emit_message = on_message;
  d.errors.output_message = on_output;
  d.jpeg.client_data = &d;  // which jpeg_create_decompress keeps
  if (setjmp(d.back)) return false;
  jpeg_create_decompress(&d.jpeg);
  d.progress.progress_monitor = on_progress;
  d.jpeg.progress = &d.progress;
  jpeg_save_markers(&d.jpeg, JPEG_APP0 + 1, 0xffff);  // EXIF
  jpeg_mem_src(&d.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&d.jpeg, TRUE);
  const uint64_t pixels = uint64_t{d.jpeg.image_width} * d.jpeg.image_height;
  if (pixels > kMostPixels) stop(d, "it has too many pixels");
  if (pixels > kMostPixelsPerByte * bytes.size()) stop(d, "it is too short for its pixels");
  return true;
}

// Starts decoding to grey, RGB or CMYK.
bool begin(Decoder& d) {
  if (setjmp(d.back)) return false;
  switch (d.jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      d.jpeg.out_color_space = JCS_CMYK;
      break;
    default:
      d.jpeg.out_color_space = JCS_RGB;
  }
  d.jpeg.dct_method = JDCT_ISLOW;  // integers: the same bytes on every machine
  jpeg_start_decompress(&d.jpeg);
  return true;
}

bool read_rows(Decoder& d, uint8_t* pixels) {
  if (setjmp(d.back)) return false;
  const size_t row = size_t{d.jpeg.output_width} * static_cast<size_t>(d.jpeg.output_components);
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    JSAMPROW at = pixels + d.jpeg.output_scanline * row;
    jpeg_read_scanlines(&d.jpeg, &at, 1);
  }
  jpeg_finish_decompress(&d.jpeg);
  return true;
}

// CMYK, which Adobe's programs store inverted, to RGB in the same memory.
void to_rgb(std::vector<uint8_t>& pixels, bool inverted) {
  uint8_t* to = pixels.data();
  for (size_t at = 0; at < pixels.size(); at += 4) {
    const auto ink = [&](size_t c) {
      return inverted ? int{pixels[at + c]} : 255 - pixels[at + c];
    };
    for (size_t c = 0; c < 3; ++c) *to++ = static_cast<uint8_t>((ink(c) * ink(3) + 127) / 255);
  }
  pixels.resize(pixels.size() / 4 * 3);
}

int orientation_of(const Decoder& d) {
  for (auto* marker = d.jpeg.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.starts_with(kExif)) return exif_orientation(data.substr(kExif.size()));
  }
  return 1;
}

// The picture upright: orientation 2 to 4 mirror and turn by 180 degrees, 5 to 8 exchange the axes.
Bitmap upright(Bitmap picture, int orientation) {
  if (orientation == 1) return picture;
  const PictureShape from = picture.shape;
  const bool exchanged = orientation >= 5;
  // Whether the stored row and column run backwards.
  const bool rows_back =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_back =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Bitmap turned{from, std::vector<uint8_t>(picture.pixels.size())};
  if (exchanged) std::swap(turned.shape.height, turned.shape.width);
  uint8_t* to = turned.pixels.data();
  for (int64_t y = 0; y < turned.shape.height; ++y)
    for (int64_t x = 0; x < turned.shape.width; ++x) {
      int64_t row = exchanged ? x : y, column = exchanged ? y : x;
      if (rows_back) row = from.height - 1 - row;
      if (columns_back) column = from.width - 1 - column;
      const uint8_t* pixel = picture.pixels.data() + (row * from.width + column) * from.channels;
      to = std::copy(pixel, pixel + from.channels, to);
    }
  return turned;
}

}  // namespace

int exif_orientation(std::string_view tiff) {
  const bool little = tiff.starts_with(std::string_view("II*\0", 4));
  if (!little && !tiff.starts_with(std::string_view("MM\0*", 4))) return 1;
  const auto number = [&](size_t at, size_t bytes) -> size_t {  // 0 beyond the end
    if (at > tiff.size() || bytes > tiff.size() - at) return 0;
    size_t value = 0;
    for (size_t i = 0; i < bytes; ++i)
      value = value << 8 | static_cast<uint8_t>(tiff[at + (little ? bytes - 1 - i : i)]);
    return value;
  };
  const size_t directory = number(4, 4), entries = number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (number(entry, 2) != kOrientationTag) continue;
    const size_t value = number(entry + 8, 2);
    return 1 <= value && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

bool is_jpeg(std::string_view bytes) {
  return bytes.starts_with("\xff\xd8\xff");
}

PictureShape jpeg_shape(std::string_view bytes, const std::string& path) {
  Decoder d;
  if (!read_header(d, bytes)) fail("jpeg", path, " cannot be decoded: ", d.error);
  PictureShape shape{d.jpeg.image_height, d.jpeg.image_width, d.jpeg.num_components == 1 ? 1 : 3};
  if (orientation_of(d) >= 5) std::swap(shape.height, shape.width);
  return shape;
}

Bitmap decode_jpeg(std::string_view bytes, const std::string& path) {
  Decoder d;
  const auto failed = [&] { fail("jpeg", path, " cannot be decoded: ", d.error); };
  if (!read_header(d, bytes) || !begin(d)) failed();
  Bitmap picture{{d.jpeg.output_height, d.jpeg.output_width, d.jpeg.output_components}, {}};
  picture.pixels.resize(static_cast<size_t>(picture.shape.bytes()));
  const int orientation = orientation_of(d);  // the markers are gone afterwards
  if (!read_rows(d, picture.pixels.data())) failed();
  if (picture.shape.channels == 4) {
    to_rgb(picture.pixels, d.jpeg.saw_Adobe_marker != 0);
    picture.shape.channels = 3;
  }
  return upright(std::move(picture), orientation);
}

}  // namespace versor
