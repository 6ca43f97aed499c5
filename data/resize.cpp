// Cropping and resizing: see resize.h. The two directions are separate: the filter is a product.
#include "data/resize.h"

#include <algorithm>
#include <cmath>

namespace versor {
namespace {

constexpr int kBits = 22;  // of a weight behind the point: 8 + 22 and some carry fit in 32

// The input pixels of one output pixel, and their weights, which add up to about 2^kBits.
struct Window {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Window> windows(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double reach = std::max(scale, 1.0);
  std::vector<Window> all;
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const auto last = std::min<int64_t>(in, static_cast<int64_t>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t x = first; x < last; ++x) {
      const double distance = std::abs(static_cast<double>(x) + 0.5 - centre) / reach;
      weights.push_back(std::max(0.0, 1 - distance));
      sum += weights.back();
    }
    Window window{first, {}};
    for (double weight : weights)
      window.weights.push_back(static_cast<int32_t>(std::lround(weight / sum * (1 << kBits))));
    all.push_back(std::move(window));
  }
  return all;
}

// The weighted mean of pixels that lie `stride` bytes apart.
uint8_t mean(const uint8_t* pixel, int64_t stride, const Window& window) {
  int32_t sum = 1 << (kBits - 1);
  for (int32_t weight : window.weights) {
    sum += weight * *pixel;
    pixel += stride;
  }
  return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255));
}

}  // namespace

Bitmap with_channels(Bitmap picture, int64_t channels) {
  if (picture.shape.channels == channels) return picture;
  Bitmap other{{picture.shape.height, picture.shape.width, channels}, {}};
  other.pixels.reserve(static_cast<size_t>(other.shape.bytes()));
  const auto step = static_cast<size_t>(picture.shape.channels);
  for (size_t at = 0; at < picture.pixels.size(); at += step) {
    const uint8_t* p = picture.pixels.data() + at;
    if (channels == 3)
      other.pixels.insert(other.pixels.end(), 3, *p);
    else  // the weights in 2^-16
      other.pixels.push_back(
          static_cast<uint8_t>((19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16));
  }
  return other;
}

Bitmap cropped_and_resized(const Bitmap& picture, int64_t size) {
  const auto [height, width, channels] = picture.shape;
  const int64_t side = std::min(height, width), row = width * channels;
  const uint8_t* corner =
      picture.pixels.data() + (height - side) / 2 * row + (width - side) / 2 * channels;
  const std::vector<Window> all = windows(side, size);
  std::vector<uint8_t> narrow;  // [side,size,channels]
  narrow.reserve(static_cast<size_t>(side * size * channels));
  for (int64_t y = 0; y < side; ++y)
    for (const Window& window : all)
      for (int64_t c = 0; c < channels; ++c)
        narrow.push_back(mean(corner + y * row + window.first * channels + c, channels, window));
  Bitmap out{{size, size, channels}, {}};
  out.pixels.reserve(static_cast<size_t>(out.shape.bytes()));
  for (const Window& window : all)
    for (int64_t at = 0; at < size * channels; ++at)
      out.pixels.push_back(
          mean(narrow.data() + window.first * size * channels + at, size * channels, window));
  return out;
}

Bitmap brought_to(Bitmap picture, int64_t size, int64_t channels) {
  picture = with_channels(std::move(picture), channels);
  return size > 0 ? cropped_and_resized(picture, size) : picture;
}

}  // namespace versor
