// Draws synthetic images: a background, shapes on it, texture and noise over everything. class % 5
// selects the shape, class / 5 the background. All arithmetic is on integers; lengths are in
// quarters of a pixel where a comment says "quarters".
#include "data/synthetic.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "tensor/rng.h"

namespace versor {

namespace {

constexpr int kSide = 32, kClasses = 10;
constexpr int64_t kMostImages = 1'000'000;
constexpr uint64_t kSeed = 32;

enum class Kind { disc, ring, rectangle, cross, triangle };  // class % 5

using Colour = std::array<int, 3>;  // 0..255 while drawing; clamped at the end
using Canvas = std::array<Colour, size_t{kSide} * kSide>;  // row-major

// A sequence of random numbers.
class Dice {
 public:
  explicit Dice(Rng rng) : rng_(rng) {}
  int between(int low, int high) {  // both included
    const auto range = static_cast<uint64_t>(high - low + 1);
    return low + static_cast<int>((rng_.bits(next_++) * range) >> 32);
  }
  Colour colour() { return {between(0, 255), between(0, 255), between(0, 255)}; }

 private:
  Rng rng_;
  uint64_t next_ = 0;
};

Colour& pixel(Canvas& canvas, int x, int y) {
  return canvas[static_cast<size_t>(y * kSide + x)];
}

// (a * (whole - part) + b * part) / whole
int mix(int a, int b, int part, int whole) {
  return (a * (whole - part) + b * part) / whole;
}

// Four corner colours, interpolated.
void draw_gradient(Canvas& canvas, Dice& dice) {
  const std::array<Colour, 4> corner = {dice.colour(), dice.colour(), dice.colour(), dice.colour()};
  const int last = kSide - 1;
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      for (int c = 0; c < 3; ++c)
        pixel(canvas, x, y)[c] = mix(mix(corner[0][c], corner[1][c], x, last),
                                     mix(corner[2][c], corner[3][c], x, last), y, last);
}

// Slanted stripes of a colour, blended in with a weight that rises and falls linearly between 0 and
// 3/4.
void draw_stripes(Canvas& canvas, Dice& dice) {
  const Colour colour = dice.colour();
  const int slope_x = dice.between(0, 4), slope_y = 4 - slope_x;
  const int period = dice.between(16, 48), phase = dice.between(0, period - 1);  // quarters
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const int t = (slope_x * x + slope_y * y + phase) % period;
      const int share = std::abs(2 * t - period);  // 0..period
      for (int c = 0; c < 3; ++c) {
        int& value = pixel(canvas, x, y)[c];
        value = mix(value, colour[c], 3 * share, 4 * period);
      }
    }
}

// Whether (u,v), relative to the centre, lies in the shape of half width rx and half height ry.
bool inside(Kind kind, int u, int v, int rx, int ry) {
  const int across = std::abs(u), along = std::abs(v);
  switch (kind) {
    case Kind::disc:
      return u * u + v * v <= rx * rx;
    case Kind::ring:
      return u * u + v * v <= rx * rx && 3 * (u * u + v * v) >= rx * rx;
    case Kind::rectangle:
      return across <= rx && along <= ry;
    case Kind::cross:
      return std::max(across, along) <= rx && 3 * std::min(across, along) <= rx;
    case Kind::triangle:
      return along <= ry && 2 * across * ry <= (v + ry) * rx;
  }
  return false;
}

// A filled shape, lighter towards the top, with four samples per pixel for smooth edges.
void draw_shape(Canvas& canvas, Dice& dice, Kind kind) {
  const Colour colour = dice.colour();
  const int centre_x = dice.between(16, 111), centre_y = dice.between(16, 111);  // quarters
  const int rx = dice.between(16, 48), ry = dice.between(16, 48);                // quarters
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const int u = 4 * x - centre_x, v = 4 * y - centre_y;
      int covered = 0;
      for (int du : {1, 3})
        for (int dv : {1, 3}) covered += inside(kind, u + du, v + dv, rx, ry);
      for (int c = 0; c < 3; ++c) {
        int& value = pixel(canvas, x, y)[c];
        value = mix(value, colour[c] - v / 2, covered, 4);
      }
    }
}

// Random heights on a grid of four pixels, interpolated: soft blotches of light and shade.
void draw_texture(Canvas& canvas, Dice& dice) {
  constexpr int kCell = 4, kGrid = kSide / kCell + 1;
  const int strength = dice.between(4, 28);
  std::array<std::array<int, kGrid>, kGrid> height;
  for (auto& row : height)
    for (int& h : row) h = dice.between(-strength, strength);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const int i = y / kCell, j = x / kCell;
      const int light =
          mix(mix(height[i][j], height[i][j + 1], x % kCell, kCell),
              mix(height[i + 1][j], height[i + 1][j + 1], x % kCell, kCell), y % kCell, kCell);
      for (int& value : pixel(canvas, x, y)) value += light;
    }
}

// pixels u8 [32,32,3]
void draw_image(uint8_t* pixels, int label, Rng rng) {
  Dice dice(rng.split(0));
  Canvas canvas;
  draw_gradient(canvas, dice);
  if (label / 5 == 1) draw_stripes(canvas, dice);
  const int shapes = dice.between(1, 3);
  for (int i = 0; i < shapes; ++i) draw_shape(canvas, dice, static_cast<Kind>(label % 5));
  draw_texture(canvas, dice);

  const Rng noise = rng.split(1);  // -2..2 on every value, like a camera's
  for (size_t p = 0; p < canvas.size(); ++p) {
    const uint32_t bits = noise.bits(p);
    for (size_t c = 0; c < 3; ++c) {
      const int grain = static_cast<int>((bits >> (8 * c) & 255u) % 5u) - 2;
      pixels[3 * p + c] = static_cast<uint8_t>(std::clamp(canvas[p][c] + grain, 0, 255));
    }
  }
}

Dataset draw_set(int64_t count, Rng rng) {
  check(count >= 1 && count <= kMostImages, "synthetic", "cannot make ", count,
        " images; expected 1 to ", kMostImages);
  Dataset set{Tensor({count, kSide, kSide, 3}, DType::u8),
              std::vector<int32_t>(static_cast<size_t>(count)), "synthetic images (not CIFAR-10)",
              true};
  uint8_t* images = set.images.data<uint8_t>();
  for (int64_t i = 0; i < count; ++i) {
    const int label = static_cast<int>(i % kClasses);
    set.labels[static_cast<size_t>(i)] = label;
    draw_image(images + i * kSide * kSide * 3, label, rng.split(static_cast<uint64_t>(i)));
  }
  return set;
}

}  // namespace

DatasetPair synthetic_images(int64_t train, int64_t test) {
  return {draw_set(train, Rng(kSeed).split(0)), draw_set(test, Rng(kSeed).split(1))};
}

}  // namespace versor
