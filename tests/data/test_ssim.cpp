// SSIM against scikit-image (tests/golden/ssim.json), against a naive double reference with the
// whole 11 x 11 window, and what holds without either: equal images, order, threads, NaN, errors.
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/ssim.h"
#include "tensor/rng.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using nlohmann::json;

// The formula as it stands in the paper, one window after the other. a, b [H,W,C], pixels -1..1.
double naive_ssim(const float* a, const float* b, int height, int width, int channels) {
  double weights[11][11], sum_of_weights = 0;
  for (int i = 0; i < 11; ++i)
    for (int j = 0; j < 11; ++j) {
      weights[i][j] = std::exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
      sum_of_weights += weights[i][j];
    }
  const double c1 = 0.02 * 0.02, c2 = 0.06 * 0.06;  // (K1 L)^2 and (K2 L)^2 with L = 2
  double total = 0;
  for (int c = 0; c < channels; ++c)
    for (int y = 0; y + 11 <= height; ++y)
      for (int x = 0; x + 11 <= width; ++x) {
        const auto mean = [&](auto&& f) {  // of f(a, b) under the window
          double sum = 0;
          for (int i = 0; i < 11; ++i)
            for (int j = 0; j < 11; ++j) {
              const int at = ((y + i) * width + x + j) * channels + c;
              sum += weights[i][j] / sum_of_weights * f(a[at] + 1.0, b[at] + 1.0);
            }
          return sum;
        };
        const double ma = mean([](double p, double) { return p; });
        const double mb = mean([](double, double q) { return q; });
        const double saa = mean([&](double p, double) { return (p - ma) * (p - ma); });
        const double sbb = mean([&](double, double q) { return (q - mb) * (q - mb); });
        const double sab = mean([&](double p, double q) { return (p - ma) * (q - mb); });
        total +=
            (2 * ma * mb + c1) * (2 * sab + c2) / ((ma * ma + mb * mb + c1) * (saa + sbb + c2));
      }
  return total / ((height - 10) * (width - 10) * channels);
}

// f32 pixels in -1..1 that are no byte's value.
Tensor random_images(uint64_t seed, const Shape& shape) {
  const Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * rng.uniform(i) - 1;
  return Tensor::from(values, shape);
}

// share * a + (1 - share) * b
Tensor mixture(const Tensor& a, const Tensor& b, float share) {
  std::vector<float> values = a.to_vector<float>();
  const std::vector<float> others = b.to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = share * values[i] + (1 - share) * others[i];
  return Tensor::from(values, a.shape());
}

// An image [1,H,W,C] of the golden file: bytes in hexadecimal.
Tensor golden_image(const json& c, const char* name) {
  const std::string hex = c.at(name);
  std::vector<float> values;
  for (size_t i = 0; i < hex.size(); i += 2)
    values.push_back(static_cast<float>(std::stoi(hex.substr(i, 2), nullptr, 16) * 2.0 / 255 - 1));
  const json& s = c.at("shape");
  return Tensor::from(values, {1, s[0].get<int64_t>(), s[1].get<int64_t>(), s[2].get<int64_t>()});
}

}  // namespace

TEST_CASE("ssim: the numbers of scikit-image") {
  std::ifstream file("tests/golden/ssim.json");  // make test runs in the repository's root
  REQUIRE(file.is_open());
  const json cases = json::parse(file);
  REQUIRE(cases.size() >= 11);
  for (const json& c : cases) {
    CAPTURE(c.at("name").get<std::string>());
    const Tensor a = golden_image(c, "a"), b = golden_image(c, "b");
    const std::vector<double> value = ssim(a, b);
    REQUIRE(value.size() == 1);
    CHECK(std::abs(value[0] - c.at("ssim").get<double>()) <= 1e-10);
    CHECK(std::abs(ssim(b, a)[0] - value[0]) <= 1e-14);
  }
}

TEST_CASE("ssim: every image of a batch has the value of the naive formula") {
  for (const Shape& shape : {Shape{3, 16, 21, 3}, Shape{2, 23, 12, 1}, Shape{2, 11, 11, 4},
                             Shape{1, 32, 32, 3}, Shape{2, 11, 17, 2}}) {
    CAPTURE(shape);
    const Tensor a = random_images(1, shape), b = mixture(a, random_images(2, shape), 0.6f);
    const std::vector<double> value = ssim(a, b);
    const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
    REQUIRE(static_cast<int64_t>(value.size()) == shape[0]);
    const int height = static_cast<int>(shape[1]), width = static_cast<int>(shape[2]);
    const int channels = static_cast<int>(shape[3]);
    for (size_t n = 0; n < value.size(); ++n) {
      const size_t at = n * static_cast<size_t>(height * width * channels);
      const double expected = naive_ssim(&x[at], &y[at], height, width, channels);
      CHECK(expected > 0.3);
      CHECK(expected < 0.95);
      CHECK(std::abs(value[n] - expected) <= 1e-11);
    }
  }
}

TEST_CASE("ssim: equal images give exactly 1, constant ones only compare their means") {
  const Tensor images = random_images(3, {4, 13, 15, 3});
  CHECK(ssim(images, images) == std::vector<double>(4, 1.0));
  const Tensor black = Tensor::from(std::vector<float>(2 * 12 * 12, -1.f), {2, 12, 12, 1});
  CHECK(ssim(black, black) == std::vector<double>(2, 1.0));
  std::vector<float> light(2 * 12 * 12, 0.5f);               // intensity 1.5
  std::fill(light.begin(), light.begin() + 12 * 12, -0.5f);  // of the first image 0.5
  const std::vector<double> value =
      ssim(Tensor::from(light, {2, 12, 12, 1}), mixture(black, black, 0.5f));
  CHECK(std::abs(value[0] - 0.0004 / (0.25 + 0.0004)) <= 1e-12);
  CHECK(std::abs(value[1] - 0.0004 / (2.25 + 0.0004)) <= 1e-12);
}

TEST_CASE("ssim: the more noise, the less") {
  const Shape shape{1, 32, 32, 3};
  const Tensor image = random_images(4, shape), noise = random_images(5, shape);
  double before = 1;
  for (float share : {0.99f, 0.9f, 0.7f, 0.4f, 0.f}) {
    const double value = ssim(image, mixture(image, noise, share))[0];
    CHECK(value < before);
    before = value;
  }
  CHECK(std::abs(before) < 0.1);  // nothing in common
}

TEST_CASE("ssim: an undefined pixel makes its own image undefined, wherever it stands") {
  const Shape shape{3, 14, 12, 3};
  const Tensor a = random_images(6, shape);
  const std::vector<double> good = ssim(a, a);
  const size_t image = 14 * 12 * 3;
  for (size_t at : {size_t{0}, size_t{77}, image - 1}) {
    std::vector<float> values = a.to_vector<float>();
    values[image + at] = std::numeric_limits<float>::quiet_NaN();
    const Tensor b = Tensor::from(values, shape);
    for (const std::vector<double>& value : {ssim(a, b), ssim(b, a), ssim(b, b)}) {
      CHECK(value[0] == good[0]);
      CHECK(std::isnan(value[1]));
      CHECK(value[2] == good[2]);
    }
  }
}

TEST_CASE("ssim: the bits do not depend on the number of threads") {
  const Tensor a = random_images(7, {7, 13, 16, 3}), b = random_images(8, {7, 13, 16, 3});
  CHECK(same_bits_always([&] {
    const std::vector<double> value = ssim(a, b);
    return std::string(reinterpret_cast<const char*>(value.data()), value.size() * sizeof(double));
  }));
  CHECK(ssim(a.rows(2, 3), b.rows(2, 3))[0] == ssim(a, b)[2]);  // nor on the rest of the batch
  CHECK(ssim(a.rows(0, 0), b.rows(0, 0)).empty());
}

TEST_CASE("ssim: images that cannot be compared are refused with their shapes") {
  const auto message_for = [](const Tensor& a, const Tensor& b) {
    return error_of([&] { ssim(a, b); });
  };
  const Tensor good = random_images(9, {1, 12, 12, 3});
  CHECK(contains(message_for(good, Tensor({2, 12, 12, 3})),
                 "[1,12,12,3] cannot be compared with "
                 "[2,12,12,3]"));
  CHECK(contains(message_for(good, Tensor({1, 12, 12, 1})), "[1,12,12,1]"));
  CHECK(contains(message_for(good, Tensor({12, 12, 3})), "[12,12,3]"));
  CHECK(contains(message_for(Tensor({1, 12, 12, 3}, DType::u8), good), "u8 [1,12,12,3]"));
  CHECK(contains(message_for(Tensor(), good), "needs f32 images"));
  CHECK(contains(message_for(Tensor({1, 12, 12, 0}), Tensor({1, 12, 12, 0})), "[1,12,12,0]"));
  for (const Shape& small : {Shape{1, 10, 12, 3}, Shape{1, 12, 10, 3}, Shape{1, 8, 8, 3}})
    CHECK(contains(message_for(Tensor(small), Tensor(small)),
                   str(small, " are smaller than the window, 11 x 11")));
}

}  // namespace versor::testing
