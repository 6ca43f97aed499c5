// Reductions on the CPU, in f64 over fixed blocks that are combined in order.
#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {

void CpuBackend::sum(Tensor& y, const Tensor& x, float factor) {
  const float* in = x.data<float>();
  const double total = cpu::parallel_sum(x.numel(), [=](int64_t begin, int64_t end) {
    double s = 0;
    for (int64_t i = begin; i < end; ++i) s += in[i];
    return s;
  });
  y.data<float>()[0] = static_cast<float>(total * factor);
}

void CpuBackend::mse(Tensor& y, const Tensor& a, const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const double total = cpu::parallel_sum(a.numel(), [=](int64_t begin, int64_t end) {
    // Four sums side by side, so that an addition need not wait for the one before.
    double s[4] = {0, 0, 0, 0};
    int64_t i = begin;
    for (; i + 4 <= end; i += 4)
      for (int k = 0; k < 4; ++k) {
        const double d = static_cast<double>(pa[i + k]) - pb[i + k];
        s[k] += d * d;
      }
    for (; i < end; ++i) {
      const double d = static_cast<double>(pa[i]) - pb[i];
      s[0] += d * d;
    }
    return (s[0] + s[1]) + (s[2] + s[3]);
  });
  y.data<float>()[0] = static_cast<float>(total / static_cast<double>(a.numel()));
}

namespace {

template <class T>
void sum_of_rows(Tensor& y, const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  const int64_t block = 4 * cpu::rows_per_block(columns);
  const int64_t blocks = (rows + block - 1) / block;
  const T* in = x.data<T>();
  std::vector<double> partial(static_cast<size_t>(blocks * columns), 0.0);
  cpu::parallel_blocks(
      rows,
      [&](int64_t begin, int64_t end) {
        double* sums = partial.data() + begin / block * columns;
        for (int64_t r = begin; r < end; ++r)
          for (int64_t c = 0; c < columns; ++c) sums[c] += float(in[r * columns + c]);
      },
      block);
  float* out = y.data<float>();
  for (int64_t c = 0; c < columns; ++c) {
    double s = 0;
    for (int64_t b = 0; b < blocks; ++b) s += partial[static_cast<size_t>(b * columns + c)];
    out[c] = static_cast<float>(s);
  }
}

}  // namespace

void CpuBackend::sum_rows(Tensor& y, const Tensor& x) {
  if (x.dtype() == DType::bf16) return sum_of_rows<bf16>(y, x);
  sum_of_rows<float>(y, x);
}

void CpuBackend::sum_columns(Tensor& y, const Tensor& x) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  float* out = y.data<float>();
  cpu::parallel_blocks(
      x.dim(0),
      [=](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          double s = 0;
          for (int64_t c = 0; c < columns; ++c) s += in[r * columns + c];
          out[r] = static_cast<float>(s);
        }
      },
      cpu::rows_per_block(columns));
}

}  // namespace versor
