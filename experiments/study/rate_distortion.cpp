// Reverse water-filling, and the eigenvalues that it needs: see rate_distortion.h.
#include "experiments/study/rate_distortion.h"

#include <algorithm>
#include <cmath>

#include "tensor/ops.h"

namespace versor {
namespace {

constexpr int64_t kImages = 1000;  // in one product

// A symmetric tridiagonal matrix: `side[i]` couples rows i-1 and i, side[0] is 0.
struct Tridiagonal {
  std::vector<double> diagonal, side;
};

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// p = A v for the leading m rows of a matrix whose lower triangle is given in rows of length n.
void multiply(const double* a, int64_t n, int64_t m, const double* v, double* p) {
  for (int64_t i = 0; i < m; ++i) {
    const double* row = a + i * n;
    p[i] = dot(row, v, i + 1);
    for (int64_t j = 0; j < i; ++j) p[j] += row[j] * v[i];
  }
}

// Eliminates row by row from the last: the reflection along v turns the row's part left of the
// diagonal into a multiple of the last unit vector. The rows above it become
//   A - v w' - w v',   w = p - (v.p / 2h) v,   p = A v / h,   h = |v|^2 / 2.
Tridiagonal tridiagonal(std::vector<double> a, int64_t n) {
  Tridiagonal t{std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> w(n);
  for (int64_t m = n - 1; m > 0; --m) {
    double* v = &a[m * n];
    t.diagonal[m] = v[m];
    const double length = std::sqrt(dot(v, v, m));
    t.side[m] = v[m - 1] > 0 ? -length : length;
    const double h = length * length - v[m - 1] * t.side[m];
    if (h == 0) continue;
    v[m - 1] -= t.side[m];
    multiply(a.data(), n, m, v, w.data());
    const double share = dot(v, w.data(), m) / (2 * h);
    for (int64_t i = 0; i < m; ++i) w[i] = (w[i] - share * v[i]) / h;
    for (int64_t i = 0; i < m; ++i) {
      double* row = &a[i * n];
      for (int64_t j = 0; j <= i; ++j) row[j] -= v[i] * w[j] + w[i] * v[j];
    }
  }
  t.diagonal[0] = a[0];
  return t;
}

// How many eigenvalues lie below x: the number of negative pivots of T - x.
int64_t count_below(const Tridiagonal& t, double x, double tiny) {
  int64_t count = 0;
  double pivot = 1;
  for (size_t i = 0; i < t.diagonal.size(); ++i) {
    pivot = t.diagonal[i] - x - t.side[i] * t.side[i] / pivot;
    if (std::abs(pivot) < tiny) pivot = -tiny;
    count += pivot < 0 ? 1 : 0;
  }
  return count;
}

double bits_at(const std::vector<double>& variances, double level) {
  double bits = 0;
  for (double v : variances)
    if (v > level) bits += std::log2(v / level) / 2;
  return bits;
}

}  // namespace

std::vector<double> covariance_of(const Dataset& set) {
  const int64_t M = set.size(), C = set.images.numel() / M;
  const uint8_t* pixels = set.images.data<uint8_t>();
  std::vector<double> mean(C), sums(C * C);
  for (int64_t i = 0; i < M * C; ++i) mean[i % C] += pixels[i] * (2.0 / 255) - 1;
  for (double& m : mean) m /= static_cast<double>(M);
  for (int64_t begin = 0; begin < M; begin += kImages) {
    const int64_t rows = std::min(kImages, M - begin);
    Tensor x({rows, C}, DType::f32);
    float* to = x.data<float>();
    for (int64_t i = 0; i < rows * C; ++i)
      to[i] = static_cast<float>(pixels[begin * C + i] * (2.0 / 255) - 1 - mean[i % C]);
    const Tensor products = ops::matmul(x, x, true, false);
    const float* p = products.data<float>();
    for (int64_t i = 0; i < C * C; ++i) sums[i] += p[i];
  }
  for (double& s : sums) s /= static_cast<double>(M);
  return sums;
}

std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, int64_t n) {
  check(n > 0 && static_cast<int64_t>(matrix.size()) == n * n, "eigenvalues", "a matrix of ",
        matrix.size(), " numbers is not ", n, " by ", n);
  const Tridiagonal t = tridiagonal(std::move(matrix), n);
  double bound = 0;  // Gershgorin's: no eigenvalue is larger in absolute value
  for (int64_t i = 0; i < n; ++i)
    bound = std::max(bound, std::abs(t.diagonal[i]) + std::abs(t.side[i]) +
                                (i + 1 < n ? std::abs(t.side[i + 1]) : 0));
  const double tiny = std::max(bound * 1e-30, 1e-300);
  std::vector<double> values(n);
  for (int64_t k = 0; k < n; ++k) {
    double low = k > 0 ? values[k - 1] : -bound, high = bound;
    while (high - low > 1e-15 * bound) {
      const double middle = (low + high) / 2;
      (count_below(t, middle, tiny) > k ? high : low) = middle;
    }
    values[k] = (low + high) / 2;
  }
  return values;
}

double gaussian_distortion(const std::vector<double>& variances, double bits) {
  const double largest =
      variances.empty() ? 0 : *std::max_element(variances.begin(), variances.end());
  check(largest > 0, "rate", "needs a variance above 0");
  check(bits >= 0 && std::isfinite(bits), "rate", bits, " is not a number of bits");
  double low = std::log2(largest) - 2 * bits - 1, high = std::log2(largest);  // of log2 t
  for (int step = 0; step < 100; ++step) {
    const double middle = (low + high) / 2;
    (bits_at(variances, std::exp2(middle)) > bits ? low : high) = middle;
  }
  const double level = std::exp2(high);
  double sum = 0;
  for (double v : variances) sum += std::min(v, level);
  return sum / static_cast<double>(variances.size());
}

}  // namespace versor
