// Softmax and argmax on the CPU, row by row.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/elementwise.h"

namespace versor {
namespace {

// Results side by side, so that a loop over a row becomes one of vectors.
constexpr int kLanes = 16;

float largest_of(const float* row, int64_t columns) {
  float lane[kLanes];
  std::fill(lane, lane + kLanes, -std::numeric_limits<float>::infinity());
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t k = 0; k < whole; k += kLanes)
    for (int l = 0; l < kLanes; ++l) lane[l] = row[k + l] > lane[l] ? row[k + l] : lane[l];
  for (int64_t k = whole; k < columns; ++k) lane[0] = row[k] > lane[0] ? row[k] : lane[0];
  return *std::max_element(lane, lane + kLanes);
}

// Writes exp(row[k] - m), m the largest of the row, and returns their sum. A NaN in the row, and
// the NaN of inf - inf, are in the sum.
double exponentials_of(float* e, const float* row, float m, int64_t columns) {
  for (int64_t k = 0; k < columns; ++k) e[k] = exp_of_negative(row[k] - m);
  double lane[kLanes] = {};
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t k = 0; k < whole; k += kLanes)
    for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<double>(e[k + l]);
  for (int64_t k = whole; k < columns; ++k) lane[0] += static_cast<double>(e[k]);
  double sum = 0;
  for (double part : lane) sum += part;
  return sum;
}

}  // namespace

// A NaN in the row, and the NaN of inf - inf, spread through the sum to the whole row.
void CpuBackend::softmax(Tensor& y, const Tensor& x, int64_t causal) {
  const int64_t all = x.dim(1);
  const float* in = x.data<float>();
  float* out = y.data<float>();
  cpu::parallel_rows(x.dim(0), all, [=](int64_t r) {
    const int64_t columns = causal > 0 ? r % causal + 1 + all - causal : all;
    const float* row = in + r * all;
    float* e = out + r * all;  // exp(x - m), then y
    const float m = largest_of(row, columns);
    double s = 0;
    for (int64_t k = 0; k < columns; ++k) s += e[k] = std::exp(row[k] - m);
    const auto divisor = static_cast<float>(s);
    for (int64_t k = 0; k < columns; ++k) e[k] /= divisor;
    std::fill(e + columns, e + all, 0.f);
  });
}

void CpuBackend::softmax_grad(Tensor& dx, const Tensor& dy, const Tensor& y) {
  const int64_t columns = y.dim(1);
  const float *in = dy.data<float>(), *saved = y.data<float>();
  float* out = dx.data<float>();
  cpu::parallel_rows(y.dim(0), columns, [=](int64_t r) {
    const float *g = in + r * columns, *p = saved + r * columns;
    double s = 0;
    for (int64_t k = 0; k < columns; ++k) s += static_cast<double>(g[k]) * p[k];
    const auto mean = static_cast<float>(s);
    for (int64_t k = 0; k < columns; ++k) out[r * columns + k] = p[k] * (g[k] - mean);
  });
}

void CpuBackend::cross_entropy(Tensor& loss, const Tensor& x, const Tensor& label) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  const int32_t* chosen = label.data<int32_t>();
  float* out = loss.data<float>();
  cpu::parallel_blocks(
      x.dim(0),
      [=](int64_t begin, int64_t end) {
        std::vector<float> e(static_cast<size_t>(columns));
        for (int64_t r = begin; r < end; ++r) {
          const float *row = in + r * columns, m = largest_of(row, columns);
          const double sum = exponentials_of(e.data(), row, m, columns);
          out[r] = static_cast<float>(std::log(sum) + (double{m} - row[chosen[r]]));
        }
      },
      cpu::rows_per_block(columns));
}

void CpuBackend::cross_entropy_grad(Tensor& dx, const Tensor& dloss, const Tensor& x,
                                    const Tensor& label) {
  const int64_t columns = x.dim(1);
  const float *in = x.data<float>(), *d = dloss.data<float>();
  const int32_t* chosen = label.data<int32_t>();
  float* out = dx.data<float>();
  cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
    const float* row = in + r * columns;
    float* e = out + r * columns;
    const double sum = exponentials_of(e, row, largest_of(row, columns), columns);
    const auto factor = static_cast<float>(1 / sum);
    for (int64_t k = 0; k < columns; ++k) e[k] = d[r] * (e[k] * factor);
    e[chosen[r]] -= d[r];
  });
}

void CpuBackend::argmax(Tensor& index, const Tensor& x) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  int32_t* out = index.data<int32_t>();
  cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
    const float* row = in + r * columns;
    int64_t best = 0;
    for (int64_t k = 1; k < columns; ++k)
      if (row[k] > row[best] || (std::isnan(row[best]) && !std::isnan(row[k]))) best = k;
    out[r] = static_cast<int32_t>(best);
  });
}

}  // namespace versor
