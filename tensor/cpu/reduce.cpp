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

void CpuBackend::sum_of_squares(Tensor& y, const Tensor& x) {
  const float* in = x.data<float>();
  const double total = cpu::parallel_sum(x.numel(), [=](int64_t begin, int64_t end) {
    double s[4] = {0, 0, 0, 0};  // as in mse
    int64_t i = begin;
    for (; i + 4 <= end; i += 4)
      for (int k = 0; k < 4; ++k) s[k] += static_cast<double>(in[i + k]) * in[i + k];
    for (; i < end; ++i) s[0] += static_cast<double>(in[i]) * in[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
  });
  y.data<float>()[0] = static_cast<float>(total);
}

void CpuBackend::mse(Tensor& y, const Tensor& a, const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const double total = cpu::parallel_sum(a.numel(), [=](int64_t begin, int64_t end) {
    // Four independent sums, so that an addition need not wait for the one before.
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

// y[c] = sum over r of row(r)[c]; row(r) gives the elements [columns] of row r and is called once
// per row.
template <class Row>
void sum_of_rows(Tensor& y, int64_t rows, const Row& row) {
  const int64_t columns = y.numel();
  const int64_t block = 4 * cpu::rows_per_block(columns);
  const int64_t blocks = (rows + block - 1) / block;
  std::vector<double> partial(static_cast<size_t>(blocks * columns), 0.0);
  cpu::parallel_blocks(
      rows,
      [&](int64_t begin, int64_t end) {
        double* sums = partial.data() + begin / block * columns;
        for (int64_t r = begin; r < end; ++r) {
          const auto* elements = row(r);
          for (int64_t c = 0; c < columns; ++c) sums[c] += static_cast<float>(elements[c]);
        }
      },
      block);
  float* out = y.data<float>();
  for (int64_t c = 0; c < columns; ++c) {
    double s = 0;
    for (int64_t b = 0; b < blocks; ++b) s += partial[static_cast<size_t>(b * columns + c)];
    out[c] = static_cast<float>(s);
  }
}

// g where y > 0, else 0; without a branch, so that a loop over it is vectorised.
float where_positive(float y, float g) {
  return y > 0.f ? g : 0.f;
}
bf16 where_positive(bf16 y, bf16 g) {
  const auto bits = static_cast<int16_t>(y.bits);  // positive floats compare as integers do
  bf16 passed;
  passed.bits = static_cast<uint16_t>(bits > 0 && bits <= 0x7f80 ? g.bits : 0);  // 0 for a NaN
  return passed;
}

}  // namespace

void CpuBackend::sum_axis0(Tensor& y, const Tensor& x) {
  with_float_type(x.dtype(), [&](auto element) {
    const auto* in = x.data<decltype(element)>();
    sum_of_rows(y, x.dim(0), [=, columns = x.dim(1)](int64_t r) { return in + r * columns; });
  });
}

void CpuBackend::bias_relu_grad(Tensor& dz, Tensor& dbias, const Tensor& dy, const Tensor& skip,
                                const Tensor& y) {
  with_float_type(dy.dtype(), [&](auto element) {
    using T = decltype(element);
    const int64_t columns = dy.dim(1);
    T* const out = dz.data<T>();
    const T* const first = dy.data<T>();
    const T* const second = skip.defined() ? skip.data<T>() : nullptr;
    const T* const saved = y.defined() ? y.data<T>() : nullptr;
    sum_of_rows(dbias, dy.dim(0), [=](int64_t r) {
      const int64_t begin = r * columns, end = begin + columns;
      const T* g = first;
      if (second != nullptr) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i)
          out[i] = static_cast<T>(static_cast<float>(first[i]) + static_cast<float>(second[i]));
        g = out;
      }
      if (saved != nullptr) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) out[i] = where_positive(saved[i], g[i]);
      }
      return static_cast<const T*>(out) + begin;
    });
  });
}

void CpuBackend::sum_axis1(Tensor& y, const Tensor& x) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  float* out = y.data<float>();
  cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
    double s = 0;
    for (int64_t c = 0; c < columns; ++c) s += in[r * columns + c];
    out[r] = static_cast<float>(s);
  });
}

}  // namespace versor
