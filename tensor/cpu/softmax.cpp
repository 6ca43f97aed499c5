// Softmax and argmax on the CPU, row by row.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {

// A NaN in the row, and the NaN of inf - inf, spread through the sum to the whole row.
void CpuBackend::softmax(Tensor& y, const Tensor& x, int64_t causal) {
  const int64_t all = x.dim(1);
  const float* in = x.data<float>();
  float* out = y.data<float>();
  cpu::parallel_rows(x.dim(0), all, [=](int64_t r) {
    const int64_t columns = causal > 0 ? r % causal + 1 + all - causal : all;
    const float* row = in + r * all;
    float* e = out + r * all;  // exp(x - m), then y
    float m = -std::numeric_limits<float>::infinity();
    for (int64_t k = 0; k < columns; ++k) m = row[k] > m ? row[k] : m;
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
