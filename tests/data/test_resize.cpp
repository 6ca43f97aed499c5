// Cropping, resizing and the number of channels, against a reference in double.
#include <doctest/doctest.h>

#include <cmath>

#include "data/resize.h"
#include "tests/data/image_files.h"

namespace versor::testing {
namespace {

// The triangle filter of resize.h over the middle square, in both directions at once.
double reference(const Bitmap& p, int64_t size, int64_t i, int64_t j, int64_t c) {
  const int64_t side = std::min(p.shape.height, p.shape.width);
  const int64_t top = (p.shape.height - side) / 2, left = (p.shape.width - side) / 2;
  const double scale = static_cast<double>(side) / size, reach = std::max(scale, 1.0);
  const auto weight = [&](int64_t out, int64_t in) {
    return std::max(0.0, 1 - std::abs(in + 0.5 - (out + 0.5) * scale) / reach);
  };
  double sum = 0, weights = 0;
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      const double w = weight(i, y) * weight(j, x);
      weights += w;
      sum += w * p.pixels[((top + y) * p.shape.width + left + x) * p.shape.channels + c];
    }
  return sum / weights;
}

}  // namespace

TEST_CASE("resize: every pixel as the reference, downwards, upwards and not at all") {
  for (const PictureShape shape : {PictureShape{37, 53, 3}, {64, 40, 1}, {16, 16, 3}, {5, 7, 1}})
    for (const int64_t size : {1, 4, 12, 16, 40}) {
      CAPTURE(shape);
      CAPTURE(size);
      const Bitmap picture{shape, colourful(shape.width, shape.height, shape.channels)};
      const Bitmap small = cropped_and_resized(picture, size);
      REQUIRE(small.shape == PictureShape{size, size, shape.channels});
      REQUIRE(small.pixels.size() == static_cast<size_t>(size * size * shape.channels));
      double worst = 0;
      for (int64_t i = 0, at = 0; i < size; ++i)
        for (int64_t j = 0; j < size; ++j)
          for (int64_t c = 0; c < shape.channels; ++c)
            worst =
                std::max(worst, std::abs(small.pixels[at++] - reference(picture, size, i, j, c)));
      CHECK(worst <= 1.01);  // two roundings to a byte
    }
}

TEST_CASE("resize: a picture of that size stays, and one colour stays that colour") {
  const Bitmap picture{{16, 16, 3}, colourful(16, 16, 3)};
  CHECK(cropped_and_resized(picture, 16).pixels == picture.pixels);
  const Bitmap wide{{16, 19, 3}, colourful(19, 16, 3)};
  const Bitmap cropped = cropped_and_resized(wide, 16);
  CHECK(cropped.pixels[0] == wide.pixels[3]);  // one column is cut at the left, two at the right
  for (int value : {0, 1, 128, 254, 255}) {
    const Bitmap flat{{31, 45, 1}, std::vector<uint8_t>(31 * 45, value)};
    for (int64_t size : {3, 8, 64})
      CHECK(cropped_and_resized(flat, size).pixels == std::vector<uint8_t>(size * size, value));
  }
}

TEST_CASE("resize: stripes of one pixel become grey, not stripes of another width") {
  Bitmap stripes{{64, 64, 1}, std::vector<uint8_t>(64 * 64)};
  for (size_t i = 0; i < stripes.pixels.size(); ++i) stripes.pixels[i] = i % 2 * 255;
  const Bitmap small = cropped_and_resized(stripes, 16);
  for (int y = 0; y < 16; ++y)
    for (int x = 1; x < 15; ++x) CHECK(std::abs(small.pixels[16 * y + x] - 127.5) < 1);
}

TEST_CASE("resize: grey and colour") {
  const Bitmap colour{{1, 3, 3}, {255, 0, 0, 0, 255, 0, 0, 0, 255}};
  CHECK(with_channels(colour, 1).pixels == std::vector<uint8_t>{76, 150, 29});
  CHECK(with_channels(colour, 3).pixels == colour.pixels);
  const Bitmap grey{{1, 2, 1}, {7, 200}};
  CHECK(with_channels(grey, 3).pixels == std::vector<uint8_t>{7, 7, 7, 200, 200, 200});
  CHECK(with_channels(with_channels(grey, 3), 1).pixels == grey.pixels);
}

}  // namespace versor::testing
