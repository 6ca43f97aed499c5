// Gathering rows and images, sums over the rows of a segment, counts and counters, on the CPU.
#include <cstring>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/image_moves.h"

namespace versor {
namespace {

// The place of a batch's first image in the order.
int64_t first_image(const Tensor& batch, int64_t batch_size) {
  return batch.defined() ? batch.data<int32_t>()[0] * batch_size : 0;
}

}  // namespace

void CpuBackend::gather_rows(Tensor& y, const Tensor& x, const Tensor& index) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  const int32_t* at = index.data<int32_t>();
  float* out = y.data<float>();
  cpu::parallel_rows(index.numel(), columns, [=](int64_t r) {
    std::memcpy(out + r * columns, in + at[r] * columns, sizeof(float) * columns);
  });
}

void CpuBackend::pick(Tensor& y, const Tensor& x, const Tensor& index) {
  const int64_t columns = x.dim(1);
  const float* in = x.data<float>();
  const int32_t* at = index.data<int32_t>();
  float* out = y.data<float>();
  for (int64_t r = 0; r < index.numel(); ++r) out[r] = in[r * columns + at[r]];
}

void CpuBackend::one_hot(Tensor& y, const Tensor& index) {
  const int64_t columns = y.dim(1);
  const int32_t* at = index.data<int32_t>();
  float* out = y.data<float>();
  fill(y, 0.f);
  for (int64_t r = 0; r < index.numel(); ++r) out[r * columns + at[r]] = 1.f;
}

void CpuBackend::gather_images(Tensor& y, const Tensor& images, const Tensor& order,
                               const Tensor& batch, int64_t batch_size, float scale, float shift) {
  const int64_t size = images.numel() / images.dim(0);
  const uint8_t* in = images.data<uint8_t>();
  const int32_t* at = order.data<int32_t>() + first_image(batch, batch_size);
  float* out = y.data<float>();
  cpu::parallel_rows(y.dim(0), size, [=](int64_t n) {
    const uint8_t* image = in + at[n] * size;
    for (int64_t i = 0; i < size; ++i)
      out[n * size + i] = static_cast<float>(image[i]) * scale + shift;
  });
}

void CpuBackend::move_images(Tensor& y, const Tensor& x, const Tensor& moves, const Tensor& batch,
                             int64_t batch_size) {
  const int64_t H = x.dim(1), W = x.dim(2), C = x.dim(3);
  const float* in = x.data<float>();
  const int32_t* move = moves.data<int32_t>() + 3 * first_image(batch, batch_size);
  float* out = y.data<float>();
  cpu::parallel_rows(x.dim(0) * H, W * C, [=](int64_t row) {
    const int64_t n = row / H, h = row % H;
    const float* from = in + (n * H + moved_row(move + 3 * n, h, H)) * W * C;
    for (int64_t w = 0; w < W; ++w)
      std::memcpy(out + (row * W + w) * C, from + moved_column(move + 3 * n, w, W) * C,
                  sizeof(float) * C);
  });
}

// The rows are sorted by segment (a counting sort, which keeps their order); then each segment is
// summed by one thread in that order, whatever the number of threads.
void CpuBackend::segment_sum(Tensor& y, const Tensor& x, const Tensor& index) {
  const int64_t segments = y.dim(0), columns = x.dim(1), rows = x.dim(0);
  const float* in = x.data<float>();
  const int32_t* at = index.data<int32_t>();
  float* out = y.data<float>();
  std::vector<int64_t> first(static_cast<size_t>(segments + 1), 0);
  for (int64_t r = 0; r < rows; ++r) ++first[at[r] + 1];
  for (int64_t k = 0; k < segments; ++k) first[k + 1] += first[k];
  std::vector<int64_t> next(first.begin(), first.end() - 1), order(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) order[next[at[r]]++] = r;
#pragma omp parallel for schedule(dynamic, 8)
  for (int64_t k = 0; k < segments; ++k) {
    std::vector<double> sum(static_cast<size_t>(columns), 0.0);
    for (int64_t i = first[k]; i < first[k + 1]; ++i) {
      const float* row = in + order[i] * columns;
      for (int64_t c = 0; c < columns; ++c) sum[c] += row[c];
    }
    for (int64_t c = 0; c < columns; ++c) out[k * columns + c] = static_cast<float>(sum[c]);
  }
}

void CpuBackend::bincount(Tensor& counts, const Tensor& index) {
  int32_t* out = counts.data<int32_t>();
  const int32_t* at = index.data<int32_t>();
  std::fill(out, out + counts.numel(), 0);
  for (int64_t r = 0; r < index.numel(); ++r) ++out[at[r]];
}

void CpuBackend::increment(Tensor& counters, std::span<const int32_t> which) {
  for (int32_t i : which) counters.data<int32_t>()[i] += 1;
}

void CpuBackend::add_counts(Tensor& total, const Tensor& counts) {
  int32_t* sums = total.data<int32_t>();
  const int32_t* n = counts.data<int32_t>();
  for (int64_t i = 0; i < total.numel(); ++i) sums[i] += n[i];
}

void CpuBackend::write_row(Tensor& table, const Tensor& row, std::span<const Tensor> values) {
  float* out = table.data<float>() + row.data<int32_t>()[0] * table.dim(1);
  for (const Tensor& value : values)
    *out++ = value.dtype() == DType::f32 ? value.data<float>()[0]
                                         : static_cast<float>(value.data<int32_t>()[0]);
}

}  // namespace versor
