// The readers of PNG and JPEG files: pixels of every kind of file, and one line for a broken one.
#include <doctest/doctest.h>

#include "data/jpeg_reader.h"
#include "data/png_reader.h"
#include "tests/data/image_files.h"
#include "tests/data/temporary_folder.h"

namespace versor::testing {
namespace {

using namespace std::string_literals;
using Bytes = std::vector<uint8_t>;

Bytes decoded_png(const PngContent& content) {
  const std::string file = png_file(content);
  const Bitmap picture = decode_png(file, "x.png");
  CHECK(picture.shape == png_shape(file, "x.png"));
  CHECK(picture.shape.width == content.width);
  CHECK(picture.shape.height == content.height);
  CHECK(picture.pixels.size() == static_cast<size_t>(picture.shape.bytes()));
  return picture.pixels;
}

std::string error_of_png(const std::string& file) {
  const std::string message = error_of([&] { decode_png(file, "a/x.png"); });
  CHECK(contains(message, "a/x.png"));
  CHECK_FALSE(contains(message, "\n"));
  return message;
}
std::string error_of_jpeg(const std::string& file) {
  const std::string message = error_of([&] { decode_jpeg(file, "a/x.jpg"); });
  CHECK(contains(message, "a/x.jpg"));
  CHECK_FALSE(contains(message, "\n"));
  return message;
}

// Replaces the width and height in a PNG's header, and its checksum.
std::string with_size(std::string file, uint32_t width, uint32_t height) {
  for (int i = 0; i < 4; ++i) {
    file[16 + i] = static_cast<char>(width >> (24 - 8 * i));
    file[20 + i] = static_cast<char>(height >> (24 - 8 * i));
  }
  uint32_t crc = 0xffffffff;  // of the chunk's type and content (PNG specification, annex D)
  for (size_t at = 12; at < 29; ++at) {
    crc ^= static_cast<uint8_t>(file[at]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  for (int i = 0; i < 4; ++i) file[29 + i] = static_cast<char>(~crc >> (24 - 8 * i));
  return file;
}

}  // namespace

TEST_CASE("png: pixels of every kind of file") {
  for (const bool interlaced : {false, true}) {
    CAPTURE(interlaced);
    const Bytes rgb = colourful(11, 9, 3), grey = colourful(11, 9, 1);
    CHECK(decoded_png({11, 9, 8, 2, rgb, {}, {}, interlaced}) == rgb);
    CHECK(decoded_png({11, 9, 8, 0, grey, {}, {}, interlaced}) == grey);
  }
  // 16 bits: 0x10ff is nearer to 17/255 than to 16/255.
  CHECK(decoded_png({2, 1, 16, 0, {0x10, 0xff, 0x12, 0x34}}) == Bytes{17, 18});
  CHECK(decoded_png({1, 1, 16, 2, {0, 0, 0x80, 0x80, 0xff, 0xff}}) == Bytes{0, 128, 255});
  CHECK(decoded_png({5, 1, 1, 0, {0b10110000}}) == Bytes{255, 0, 255, 255, 0});
  CHECK(decoded_png({3, 1, 2, 0, {0b00011100}}) == Bytes{0, 85, 255});
  CHECK(decoded_png({2, 1, 4, 0, {0x3f}}) == Bytes{51, 255});
  const Bytes palette = {1, 2, 3, 10, 20, 30, 100, 110, 120};
  CHECK(decoded_png({3, 1, 2, 3, {0b10000100}, palette}) ==
        Bytes{100, 110, 120, 1, 2, 3, 10, 20, 30});
}

TEST_CASE("png: what is transparent is laid on white") {
  CHECK(decoded_png({3, 1, 8, 6, {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 128}}) ==
        Bytes{10, 20, 30, 255, 255, 255, 127, 177, 227});
  CHECK(decoded_png({2, 1, 8, 4, {50, 255, 50, 51}}) == Bytes{50, 214});
  CHECK(decoded_png({2, 1, 1, 3, {0b01000000}, {9, 9, 9, 0, 0, 0}, {0}}) ==
        Bytes{255, 255, 255, 0, 0, 0});
}

TEST_CASE("png: a damaged file, or one that promises too much, is one line") {
  const std::string whole = png_file({11, 9, 8, 2, colourful(11, 9, 3)});
  for (const size_t cut : {8ul, 30ul, 40ul, whole.size() - 20}) {
    CAPTURE(cut);
    CHECK(error_of_png(whole.substr(0, cut)) != "");
  }
  std::string flipped = whole;
  flipped[60] ^= 1;
  CHECK(error_of_png(flipped) != "");
  CHECK(contains(error_of_png(with_size(whole, 60'000, 60'000)), "60000x60000"));
  CHECK(contains(error_of_png(with_size(whole, 8'000, 8'000)), "too few for the 8000x8000"));
  CHECK(error_of_png(with_size(whole, 0, 9)) != "");
  CHECK(error_of_png(with_size(whole, 12, 9)) != "");
  CHECK(error_of_png("no picture") != "");
  CHECK_FALSE(is_png("no picture"));
}

TEST_CASE("jpeg: pixels of grey, colour, progressive and CMYK files") {
  for (const bool progressive : {false, true}) {
    CAPTURE(progressive);
    JpegContent grey{16, 8, 1, Bytes(128, 90)};
    grey.progressive = progressive;
    std::fill(grey.pixels.begin() + 64, grey.pixels.end(), 90);
    CHECK(decode_jpeg(jpeg_file(grey), "x").pixels == grey.pixels);

    JpegContent colour{8, 8, 3, {}};
    colour.progressive = progressive;
    for (int i = 0; i < 64; ++i) colour.pixels.insert(colour.pixels.end(), {200, 100, 50});
    const Bitmap picture = decode_jpeg(jpeg_file(colour), "x");
    REQUIRE(picture.shape == PictureShape{8, 8, 3});
    for (size_t i = 0; i < 192; ++i) CHECK(std::abs(picture.pixels[i] - colour.pixels[i]) <= 1);
  }
  JpegContent cmyk{8, 8, 4, {}};  // as stored: 255 - ink
  for (int i = 0; i < 64; ++i) cmyk.pixels.insert(cmyk.pixels.end(), {255, 128, 0, 200});
  const std::string file = jpeg_file(cmyk);
  const Bitmap picture = decode_jpeg(file, "x");
  CHECK(jpeg_shape(file, "x") == picture.shape);
  REQUIRE(picture.shape == PictureShape{8, 8, 3});
  CHECK(std::abs(picture.pixels[0] - 200) <= 2);
  CHECK(std::abs(picture.pixels[1] - 100) <= 2);
  CHECK(picture.pixels[2] <= 2);
}

// Exif 2.32, orientation: where row 0 and column 0 of the stored picture are seen.
TEST_CASE("jpeg: a camera's orientation is undone") {
  const auto corner = [](int orientation) {
    JpegContent content{16, 8, 1, Bytes(128, 200)};  // dark at the top left, in a block of its own
    for (int y = 0; y < 8; ++y) std::fill_n(content.pixels.begin() + 16 * y, 8, 20);
    content.orientation = orientation;
    const std::string file = jpeg_file(content);
    const Bitmap p = decode_jpeg(file, "x");
    CHECK(jpeg_shape(file, "x") == p.shape);
    const bool exchanged = 5 <= orientation && orientation <= 8;
    CHECK(p.shape == (exchanged ? PictureShape{16, 8, 1} : PictureShape{8, 16, 1}));
    return p.pixels[0] < 100;  // seen at the top left?
  };
  for (int orientation : {0, 1, 4, 5, 6}) CHECK(corner(orientation));
  for (int orientation : {2, 3, 7, 8}) CHECK_FALSE(corner(orientation));
  CHECK(corner(9));  // no orientation

  // Four quadrants tell all eight apart.
  const auto quadrants = [](int orientation) {
    JpegContent content{16, 16, 1, Bytes(256)};
    for (int y = 0; y < 16; ++y)
      for (int x = 0; x < 16; ++x) content.pixels[16 * y + x] = 60 * (2 * (y / 8) + x / 8);
    content.orientation = orientation;
    const Bitmap p = decode_jpeg(jpeg_file(content), "x");
    const auto at = [&](int y, int x) { return (p.pixels[16 * y + x] + 30) / 60; };
    return std::vector<int>{at(0, 0), at(0, 15), at(15, 0), at(15, 15)};
  };
  const std::vector<int> expected[] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1},
                                       {0, 2, 1, 3}, {2, 0, 3, 1}, {3, 1, 2, 0}, {1, 3, 0, 2}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    CHECK(quadrants(orientation) == expected[orientation - 1]);
  }
}

TEST_CASE("jpeg: a damaged file is one line, also where the library would only warn") {
  const std::string whole = jpeg_file({40, 40, 3, colourful(40, 40, 3)});
  CHECK(error_of([&] { decode_jpeg(whole, "x"); }) == "");
  for (const size_t cut : {3ul, 20ul, whole.size() / 2, whole.size() - 40}) {
    CAPTURE(cut);
    CHECK(error_of_jpeg(whole.substr(0, cut)) != "");
  }
  std::string large = whole;  // 40 rows become 60,000 columns and rows
  const size_t frame = large.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  for (size_t at : {5, 7}) large.replace(frame + at, 2, "\xea\x60");
  CHECK(contains(error_of_jpeg(large), "too many pixels"));
  for (size_t at : {5, 7}) large.replace(frame + at, 2, "\x20\x00"s);
  CHECK(contains(error_of_jpeg(large), "too short"));
  CHECK(error_of_jpeg("no picture") != "");
}

TEST_CASE("jpeg: an orientation in any TIFF structure, or 1") {
  const auto of = [](const std::string& bytes) { return exif_orientation(bytes); };
  const std::string little(
      "II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\0\0\0\0\0\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", 34);
  CHECK(of(little) == 6);
  for (size_t cut = 0; cut < 31; ++cut) CHECK(of(little.substr(0, cut)) == 1);
  std::string far = little;
  far.replace(4, 4, "\xff\xff\xff\xff");
  CHECK(of(far) == 1);
}

}  // namespace versor::testing
