// Image grids and folders of images, read back with stb_image: every pixel's place and colour, and
// files that appear whole or not at all.
#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>

#include "data/image_grid.h"
#include "tests/data/temporary_folder.h"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#include <stb/stb_image.h>

namespace {

using versor::Tensor;
using versor::write_image_grid;
using versor::write_png_files;
using versor::testing::contains;
using versor::testing::error_of;
using versor::testing::FullDisk;
using versor::testing::TemporaryFolder;
using Pixel = std::array<int, 3>;

constexpr Pixel kWhite = {255, 255, 255};

struct Png {
  explicit Png(const std::string& path) {
    bytes.reset(stbi_load(path.c_str(), &width, &height, &channels, 3));
  }
  Pixel at(int x, int y) const {
    const unsigned char* p = bytes.get() + (y * width + x) * 3;
    return {p[0], p[1], p[2]};
  }

  int width = 0, height = 0, channels = 0;
  std::unique_ptr<unsigned char, decltype(&stbi_image_free)> bytes{nullptr, &stbi_image_free};
};

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

float value(int byte) {
  return static_cast<float>(byte * 2.0 / 255 - 1);
}

// f32 [n,h,w,3] whose pixels are all different: red counts columns, green rows, blue images.
Tensor counted_images(int64_t n, int64_t h, int64_t w) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x)
        for (int64_t byte : {10 * x, 20 * y, 40 * i})
          values.push_back(value(static_cast<int>(byte)));
  return Tensor::from(values, {n, h, w, 3});
}

}  // namespace

TEST_CASE("image grid: every pixel stands in its place, gaps are white") {
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  const int scale = 3;
  write_image_grid(path, {counted_images(3, 2, 4), counted_images(2, 5, 3)}, scale);

  CHECK(content(path).substr(0, 8) == "\x89PNG\r\n\x1a\n");
  const Png png(path);
  REQUIRE(png.bytes);
  CHECK(png.channels == 3);
  CHECK(png.width == 3 * 4 * scale + 2 * 2);     // the longer row
  CHECK(png.height == (2 + 5) * scale + 1 * 2);  // one gap between two rows
  int wrong = 0;
  for (int y = 0; y < png.height; ++y)
    for (int x = 0; x < png.width; ++x) {
      const bool first = y < 2 * scale;
      const int top = first ? 0 : 2 * scale + 2, h = first ? 2 : 5, w = first ? 4 : 3;
      const int n = first ? 3 : 2, i = x / (w * scale + 2), left = i * (w * scale + 2);
      const int row = (y - top) / scale, column = (x - left) / scale;
      const bool drawn = y >= top && row < h && i < n && column < w;
      wrong += png.at(x, y) != (drawn ? Pixel{10 * column, 20 * row, 40 * i} : kWhite);
    }
  CHECK(wrong == 0);
}

TEST_CASE("image grid: all 256 bytes come back; grey, clamped and undefined values") {
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  std::vector<float> ramp;
  for (int byte = 0; byte < 256; ++byte) ramp.push_back(value(byte));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  write_image_grid(
      path,
      {Tensor::from(ramp, {1, 1, 256, 1}),
       Tensor::from(std::vector<float>{-1.5f, 7.f, 0.f, 0.f, nan, 0.f, -infinity, infinity, 1.f},
                    {1, 1, 3, 3}),
       Tensor::from(std::vector<float>{nan}, {1, 1, 1, 1})},
      1);
  const Png png(path);
  REQUIRE(png.bytes);
  REQUIRE(png.width == 256);
  for (int byte = 0; byte < 256; ++byte) CHECK(png.at(byte, 0) == Pixel{byte, byte, byte});
  CHECK(png.at(0, 3) == Pixel{0, 255, 128});  // 0 is 127.5, rounded up
  CHECK(png.at(1, 3) == Pixel{255, 0, 255});
  CHECK(png.at(2, 3) == Pixel{0, 255, 255});
  CHECK(png.at(0, 6) == Pixel{255, 0, 255});
}

TEST_CASE("image grid: a file is replaced whole, and nothing else is left behind") {
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  std::ofstream(path) << "an older picture";
  write_image_grid(path, {counted_images(1, 2, 2)}, 1);
  const std::string first = content(path);
  CHECK(contains(first, "IEND"));
  write_image_grid(path, {counted_images(1, 2, 2)}, 1);
  CHECK(content(path) == first);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("image grid: what cannot be written is named and leaves nothing behind") {
  const TemporaryFolder folder;
  const std::vector<Tensor> images = {counted_images(1, 2, 2)};
  const std::string nowhere = folder / "nowhere/grid.png";
  std::string message = error_of([&] { write_image_grid(nowhere, images, 1); });
  CHECK(contains(message, "cannot write " + nowhere + ": No such file"));

  const std::string occupied = folder / "occupied.png";
  std::filesystem::create_directory(occupied);
  message = error_of([&] { write_image_grid(occupied, images, 1); });
  CHECK(contains(message, occupied + " is there and is no regular file"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("image grid: a full disk is an error, and the older picture stays") {
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  std::ofstream(path) << "an older picture";
  const std::string message = error_of([&] {
    const FullDisk full(16);
    write_image_grid(path, {counted_images(1, 2, 2)}, 1);
  });
  CHECK(contains(message, "cannot write " + path + ": "));
  CHECK(contains(message, "unchanged"));
  CHECK(content(path) == "an older picture");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("image grid: images of no drawable shape are refused with the shape") {
  const TemporaryFolder folder;
  const std::string path = folder / "grid.png";
  const auto message_for = [&](const std::vector<Tensor>& rows, int scale) {
    const std::string message = error_of([&] { write_image_grid(path, rows, scale); });
    CHECK(contains(message, path));
    return message;
  };
  CHECK(contains(message_for({}, 1), "no images"));
  CHECK(contains(message_for({Tensor({1, 2, 2, 2})}, 1), "[1,2,2,2]"));
  CHECK(contains(message_for({Tensor({2, 2, 3})}, 1), "[2,2,3]"));
  CHECK(contains(message_for({Tensor({0, 2, 2, 3})}, 1), "[0,2,2,3]"));
  CHECK(contains(message_for({Tensor({1, 2, 2, 3}, versor::DType::u8)}, 1), "u8 [1,2,2,3]"));
  CHECK(contains(message_for({Tensor()}, 1), "needs f32 images"));
  CHECK(contains(message_for({counted_images(1, 2, 2)}, 0), "scale 0"));
  CHECK(contains(message_for({counted_images(1, 2, 2)}, 1'000'000), "too large"));
  CHECK(contains(message_for({counted_images(1, 2, 2)}, 2'000'000'000), "too large"));
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("PNG files: each image is a numbered file of its own size with the pixels of a grid") {
  const TemporaryFolder folder;
  const std::string images = folder / "new/images";
  write_png_files(images, counted_images(6, 5, 7));
  write_png_files(images, counted_images(2, 5, 7), 99'999);
  int wrong = 0;
  for (int i = 0; i < 6; ++i) {
    const Png png(images + "/0000" + std::to_string(i) + ".png");
    REQUIRE(png.bytes);
    REQUIRE(png.width == 7);
    REQUIRE(png.height == 5);
    REQUIRE(png.channels == 3);
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 7; ++x) wrong += png.at(x, y) != Pixel{10 * x, 20 * y, 40 * i};
  }
  CHECK(wrong == 0);
  CHECK(content(images + "/99999.png") == content(images + "/00000.png"));
  CHECK(content(images + "/100000.png") == content(images + "/00001.png"));
  CHECK(std::distance(std::filesystem::directory_iterator(images), {}) == 8);

  const float nan = std::numeric_limits<float>::quiet_NaN();
  write_png_files(images, Tensor::from(std::vector<float>{-1.5f, nan, 0.f}, {1, 1, 3, 1}));
  const Png grey(images + "/00000.png");  // replaces the older picture
  REQUIRE(grey.width == 3);
  CHECK(grey.channels == 3);
  CHECK(grey.at(0, 0) == Pixel{0, 0, 0});
  CHECK(grey.at(1, 0) == Pixel{255, 0, 255});
  CHECK(grey.at(2, 0) == Pixel{128, 128, 128});
}

TEST_CASE("PNG files: the first file that cannot be written is named, the others are there") {
  const TemporaryFolder folder;
  for (const char* name : {"00012.png", "00014.png"})
    std::filesystem::create_directory(folder / name);
  const std::string path = folder.path().string();
  const std::string message = error_of([&] { write_png_files(path, counted_images(5, 2, 2), 11); });
  CHECK(contains(message, path + "/00012.png is there and is no regular file"));
  for (const char* name : {"00011.png", "00013.png", "00015.png"})
    CHECK(contains(content(folder / name), "IEND"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 5);
}

TEST_CASE("PNG files: a folder that cannot be made, wrong shapes and numbers are named") {
  const TemporaryFolder folder;
  const std::string file = folder / "file", target = folder / "target";
  std::ofstream(file) << "in the way";
  const auto message_for = [](const std::string& path, const Tensor& images, int64_t first) {
    return error_of([&] { write_png_files(path, images, first); });
  };
  const Tensor good = counted_images(1, 2, 2);
  CHECK(contains(message_for(file, good, 0), "the folder " + file + " cannot be made: "));
  CHECK(contains(message_for(file + "/below", good, 0), "the folder " + file + "/below cannot"));
  CHECK(contains(message_for(target, good, -1), target + ": the first number -1"));
  CHECK(contains(message_for(target, Tensor({1, 2, 2, 2}), 0), "[1,2,2,2]"));
  CHECK(contains(message_for(target, Tensor({0, 2, 2, 3}), 0), "[0,2,2,3]"));
  CHECK(contains(message_for(target, Tensor(), 0), target + ": needs f32 images"));
  CHECK_FALSE(std::filesystem::exists(target));
}
