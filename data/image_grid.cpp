// Image grids: layout and pixels; stb_image_write encodes the PNG. A single image is a grid of one.
#include "data/image_grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <filesystem>
#include <system_error>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#include "tensor/file.h"

namespace versor {

namespace {

constexpr int64_t kGap = 2;                  // pixels between images
constexpr int64_t kMostBytes = 256'000'000;  // the encoder counts bytes in int

using Pixel = std::array<uint8_t, 3>;

struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> bytes;  // [height,width,3], white at first

  void set(int64_t x, int64_t y, Pixel value) {
    std::copy(value.begin(), value.end(), bytes.begin() + (y * width + x) * 3);
  }
};

// values: the C channels of a pixel.
Pixel to_pixel(const float* values, int64_t channels) {
  Pixel pixel;
  for (int64_t c = 0; c < 3; ++c) {
    const float value = values[channels == 3 ? c : 0];
    if (std::isnan(value)) return {255, 0, 255};
    pixel[static_cast<size_t>(c)] =
        static_cast<uint8_t>(std::lround((std::clamp(value, -1.f, 1.f) + 1.f) * 127.5f));
  }
  return pixel;
}

void check_images(const std::string& path, const Tensor& images) {
  check(images.defined() && images.dtype() == DType::f32 && images.shape().rank() == 4 &&
            images.numel() > 0 && (images.dim(3) == 3 || images.dim(3) == 1),
        "image_grid", path, ": needs f32 images [n,H,W,C] with C = 3 or 1, got ", images.dtype(),
        " ", images.shape());
}

Picture blank_picture(const std::string& path, const std::vector<Tensor>& rows, int64_t scale) {
  check(!rows.empty(), "image_grid", path, ": there are no images");
  check(scale >= 1, "image_grid", path, ": scale ", scale, " is less than 1");
  Picture picture;
  picture.height = -kGap;
  for (const Tensor& row : rows) {
    check_images(path, row);
    check(row.numel() <= kMostBytes && scale <= kMostBytes, "image_grid", path, ": images ",
          row.shape(), " at scale ", scale, " are too large for a picture");
    picture.width = std::max(picture.width, row.dim(0) * (row.dim(2) * scale + kGap) - kGap);
    picture.height += row.dim(1) * scale + kGap;
  }
  check(picture.width <= kMostBytes / 3 / picture.height, "image_grid", path, ": a picture of ",
        picture.width, " x ", picture.height, " pixels is too large");
  picture.bytes.assign(static_cast<size_t>(picture.width * picture.height * 3), 255);
  return picture;
}

// Draws images [n,H,W,C] side by side, the corner of the first at (0, top).
void draw_row(Picture& picture, const Tensor& images, int64_t top, int64_t scale) {
  const std::vector<float> values = images.to_vector<float>();
  const int64_t height = images.dim(1), width = images.dim(2), channels = images.dim(3);
  for (int64_t n = 0; n < images.dim(0); ++n) {
    const int64_t left = n * (width * scale + kGap);
    for (int64_t y = 0; y < height * scale; ++y)
      for (int64_t x = 0; x < width * scale; ++x) {
        const int64_t at = ((n * height + y / scale) * width + x / scale) * channels;
        picture.set(left + x, top + y, to_pixel(values.data() + at, channels));
      }
  }
}

std::string encode_png(const std::string& path, const Picture& picture) {
  std::string png;
  const auto append = [](void* out, void* data, int size) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(data),
                                           static_cast<size_t>(size));
  };
  const int width = static_cast<int>(picture.width), height = static_cast<int>(picture.height);
  check(stbi_write_png_to_func(append, &png, width, height, 3, picture.bytes.data(), 3 * width),
        "image_grid", path, ": there is not enough memory to encode the picture");
  return png;
}

void write_picture(const std::string& path, const std::vector<Tensor>& rows_of_images, int scale,
                   Survives survives) {
  Picture picture = blank_picture(path, rows_of_images, scale);
  int64_t top = 0;
  for (const Tensor& row : rows_of_images) {
    draw_row(picture, row, top, scale);
    top += row.dim(1) * scale + kGap;
  }
  write_file(path, encode_png(path, picture), survives);
}

}  // namespace

void write_image_grid(const std::string& path, const std::vector<Tensor>& rows_of_images,
                      int scale) {
  write_picture(path, rows_of_images, scale, Survives::power_cut);
}

void write_square_grid(const std::string& path, const Tensor& images) {
  const int64_t count = images.dim(0);
  const auto per_row = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  std::vector<Tensor> rows;
  for (int64_t begin = 0; begin < count; begin += per_row)
    rows.push_back(images.rows(begin, std::min(begin + per_row, count)));
  write_image_grid(path, rows, 1);
}

void write_png_files(const std::string& folder, const Tensor& images, int64_t first) {
  check_images(folder, images);
  check(first >= 0, "image_grid", folder, ": the first number ", first, " is negative");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "image_grid", "the folder ", folder, " cannot be made: ", error.message());
  const Tensor on_host = images.to(Device{});
  std::vector<std::exception_ptr> failed(static_cast<size_t>(images.dim(0)));
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t n = 0; n < images.dim(0); ++n) {
    try {  // an exception must not leave a parallel loop
      const std::string number = std::to_string(first + n);
      const std::string zeros(5 - std::min<size_t>(5, number.size()), '0');
      // ten thousand waits for the disk would take minutes
      write_picture(str(folder, "/", zeros, number, ".png"), {on_host.rows(n, n + 1)}, 1,
                    Survives::kill);
    } catch (...) {
      failed[static_cast<size_t>(n)] = std::current_exception();
    }
  }
  for (const std::exception_ptr& failure : failed)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace versor
