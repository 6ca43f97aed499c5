// The gradient estimators on the CPU: rows in parallel, the arithmetic of a row in vq/row_math.h.
#include <algorithm>
#include <numeric>
#include <vector>

#include "tensor/cpu/parallel.h"
#include "vq/cpu/backend.h"

namespace versor {
namespace {

// Calls body(r) for all rows.
template <class Body>
void for_each_row(int64_t rows, int64_t columns, const Body& body) {
  cpu::parallel_blocks(
      rows,
      [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) body(r);
      },
      cpu::rows_per_block(columns));
}

}  // namespace

// A few at a time: the compiler vectorizes the random bits, but not the logarithms.
void CpuVqBackend::add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng) {
  constexpr int64_t kAtOnce = 256;
  float* out = x.data<float>();
  const Rng stream = stream_of_draw(rng, *draw.data<int32_t>());
  cpu::parallel_blocks(x.numel(), [=](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kAtOnce) {
      const int64_t n = std::min(kAtOnce, end - first);
      if (noise == Noise::normal) {
        for (int64_t i = 0; i < n; ++i)
          out[first + i] += scale * noise_at(noise, stream, first + i);
        continue;
      }
      float u[kAtOnce];
      for (int64_t i = 0; i < n; ++i) u[i] = stream.uniform(static_cast<uint64_t>(first + i));
      for (int64_t i = 0; i < n; ++i) out[first + i] += scale * gumbel_noise(u[i]);
    }
  });
}

void CpuVqBackend::estimator_grad(Tensor& de, const Tensor& dy, const Tensor& e, const Tensor& q,
                                  Estimator estimator) {
  const int64_t D = e.dim(1);
  float* out = de.data<float>();
  const float *pdy = dy.data<float>(), *pe = e.data<float>(), *pq = q.data<float>();
  for_each_row(e.dim(0), D, [=](int64_t r) {
    row_gradient(estimator, out + r * D, pdy + r * D, pe + r * D, pq + r * D, D);
  });
}

void CpuVqBackend::unscaled_value(Tensor& y, const Tensor& e, const Tensor& q,
                                  Estimator estimator) {
  const int64_t D = e.dim(1);
  float* out = y.data<float>();
  const float *pe = e.data<float>(), *pq = q.data<float>();
  for_each_row(e.dim(0), D, [=](int64_t r) {
    row_unscaled_value(estimator, out + r * D, pe + r * D, pq + r * D, D);
  });
}

void CpuVqBackend::geometry(Tensor& stats, const Tensor& e, const Tensor& q) {
  const int64_t R = e.dim(0), D = e.dim(1);
  const float *pe = e.data<float>(), *pq = q.data<float>();
  std::vector<double> lambda(static_cast<size_t>(R)), angle(static_cast<size_t>(R));
  for_each_row(R, D, [&](int64_t r) {
    const RowGeometry g = row_geometry(pe + r * D, pq + r * D, D);
    lambda[r] = g.lambda;
    angle[r] = row_angle(g);
  });
  const auto mean = [R](const std::vector<double>& v) {
    return static_cast<float>(std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(R));
  };
  const auto largest = [](const std::vector<double>& v) {
    return static_cast<float>(std::accumulate(v.begin(), v.end(), 0.0, larger));
  };
  float* out = stats.data<float>();
  out[0] = largest(lambda);
  out[1] = mean(lambda);
  out[2] = mean(angle);
  out[3] = largest(angle);
}

}  // namespace versor
