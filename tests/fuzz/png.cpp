// PNG files, as they are and once more with right checksums, which a generated file seldom has:
// what the decoder accepts has the shape that the header promised.
#include "data/png_reader.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

uint32_t checksum(std::string_view bytes) {  // PNG specification, annex D
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

// The chunks, each a length, a name of four bytes, so many bytes and a checksum, as far as they go.
std::string with_checksums(std::string_view input) {
  std::string file(input);
  for (size_t at = 8; at + 12 <= file.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(file[at + i]);
    if (length > file.size() - at - 12) break;
    const uint32_t crc = checksum(std::string_view(file).substr(at + 4, 4 + length));
    at += 8 + length;
    for (int shift : {24, 16, 8, 0}) file[at++] = static_cast<char>(crc >> shift);
  }
  return file;
}

void decode(std::string_view file) {
  const std::string path = "a/picture.png";
  PictureShape shape;
  Bitmap picture;
  if (!accepts(path, [&] { shape = png_shape(file, path); })) return;
  if (!accepts(path, [&] { picture = decode_png(file, path); })) return;
  require(picture.shape == shape, "the shape of the header");
  require(picture.pixels.size() == static_cast<size_t>(shape.bytes()), "so many pixels");
}

void read(std::string_view input) {
  decode(input);
  decode(with_checksums(input));
}

}  // namespace

FUZZ_TARGET(png, read)

}  // namespace versor::fuzzing
