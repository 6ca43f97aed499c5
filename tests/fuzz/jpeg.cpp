// JPEG files: what the decoder accepts has the shape that the header promised.
#include "data/jpeg_reader.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  const std::string path = "a/picture.jpg";
  PictureShape shape;
  Bitmap picture;
  const int orientation = exif_orientation(input);
  require(1 <= orientation && orientation <= 8, "one of eight orientations");
  if (!accepts(path, [&] { shape = jpeg_shape(input, path); })) return;
  if (!accepts(path, [&] { picture = decode_jpeg(input, path); })) return;
  require(picture.shape == shape, "the shape of the header");
  require(picture.pixels.size() == static_cast<size_t>(shape.bytes()), "so many pixels");
}

}  // namespace

FUZZ_TARGET(jpeg, read)

}  // namespace versor::fuzzing
