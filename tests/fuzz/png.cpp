// PNG files: what the decoder accepts has the shape that the header promised.
#include "data/png_reader.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  const std::string path = "a/picture.png";
  PictureShape shape;
  Bitmap picture;
  if (!accepts(path, [&] { shape = png_shape(input, path); })) return;
  if (!accepts(path, [&] { picture = decode_png(input, path); })) return;
  require(picture.shape == shape, "the shape of the header");
  require(picture.pixels.size() == static_cast<size_t>(shape.bytes()), "so many pixels");
}

}  // namespace

FUZZ_TARGET(png, read)

}  // namespace versor::fuzzing
