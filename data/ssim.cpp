// The Gaussian window is separable: 11 rows are summed into one first, then 11 pixels of that row.
// Channels are interleaved in a row, so the next pixel of the same channel is C elements on. ssim.h
// has the formula; tests/data/test_ssim.cpp its naive form with all 121 weights.
#include "data/ssim.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace versor {

namespace {

constexpr int64_t kWindow = 11;
constexpr double kSigma = 1.5;
constexpr double kBlack = -1;     // the pixel of intensity 0
constexpr double kDataRange = 2;  // from black to white
constexpr double kC1 = (0.01 * kDataRange) * (0.01 * kDataRange);
constexpr double kC2 = (0.03 * kDataRange) * (0.03 * kDataRange);
constexpr int64_t kMoments = 5;  // weighted sums of a, b, a^2, b^2, ab, in this order

using Window = std::array<double, kWindow>;

Window gaussian_window() {
  Window weights;
  double sum = 0;
  for (int64_t k = 0; k < kWindow; ++k) {
    const double distance = static_cast<double>(k - kWindow / 2) / kSigma;
    weights[k] = std::exp(-distance * distance / 2);
    sum += weights[k];
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// moments [5,row]: for every column, the weighted sums over 11 rows. a, b: pixels [11,row], where
// row = W*C.
void sum_rows(double* moments, const float* a, const float* b, int64_t row, const Window& weights) {
  std::fill(moments, moments + kMoments * row, 0.0);
  for (int64_t k = 0; k < kWindow; ++k) {
    const double weight = weights[k];
#pragma omp simd
    for (int64_t j = 0; j < row; ++j) {
      const double x = a[k * row + j] - kBlack, y = b[k * row + j] - kBlack;
      moments[j] += weight * x;
      moments[row + j] += weight * y;
      moments[2 * row + j] += weight * (x * x);
      moments[3 * row + j] += weight * (y * y);
      moments[4 * row + j] += weight * (x * y);
    }
  }
}

double ssim_of_window(const std::array<double, kMoments>& moments) {
  const auto [a, b, aa, bb, ab] = moments;
  const double var_a = aa - a * a, var_b = bb - b * b, covariance = ab - a * b;
  return (2 * a * b + kC1) * (2 * covariance + kC2) /
         ((a * a + b * b + kC1) * (var_a + var_b + kC2));
}

// The sum of SSIM over the windows of one row and all channels. moments [5,row] of sum_rows.
double ssim_of_row(const double* moments, int64_t row, int64_t channels, const Window& weights) {
  double sum = 0;
  for (int64_t j = 0; j < row - (kWindow - 1) * channels; ++j) {
    std::array<double, kMoments> window{};
    for (int64_t k = 0; k < kWindow; ++k)
      for (int64_t i = 0; i < kMoments; ++i)
        window[i] += weights[k] * moments[i * row + j + k * channels];
    sum += ssim_of_window(window);
  }
  return sum;
}

}  // namespace

std::vector<double> ssim(const Tensor& a, const Tensor& b) {
  for (const Tensor* t : {&a, &b})
    check(t->defined() && t->dtype() == DType::f32 && t->shape().rank() == 4 && t->dim(3) >= 1,
          "ssim", "needs f32 images [n,H,W,C], got ", t->dtype(), " ", t->shape());
  check(a.shape() == b.shape(), "ssim", "images ", a.shape(), " cannot be compared with ",
        b.shape());
  check(a.dim(1) >= kWindow && a.dim(2) >= kWindow, "ssim", "images ", a.shape(),
        " are smaller than the window, ", kWindow, " x ", kWindow, " pixels");
  const int64_t images = a.dim(0), height = a.dim(1), channels = a.dim(3);
  const int64_t row = a.dim(2) * channels, rows_of_windows = height - (kWindow - 1);
  const double windows =
      static_cast<double>(rows_of_windows * (row - (kWindow - 1) * channels));  // of all channels
  const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
  const Window weights = gaussian_window();
  std::vector<double> result(static_cast<size_t>(images));
#pragma omp parallel
  {
    std::vector<double> moments(static_cast<size_t>(kMoments * row));
#pragma omp for schedule(static)
    for (int64_t n = 0; n < images; ++n) {
      double sum = 0;
      for (int64_t top = 0; top < rows_of_windows; ++top) {
        const int64_t at = (n * height + top) * row;
        sum_rows(moments.data(), x.data() + at, y.data() + at, row, weights);
        sum += ssim_of_row(moments.data(), row, channels, weights);
      }
      result[static_cast<size_t>(n)] = sum / windows;
    }
  }
  return result;
}

}  // namespace versor
