// EMA update, dead codes and perplexity on the CPU: plain loops over the codes, since K x D is
// small beside the convolutions.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"
#include "vq/cpu/backend.h"

namespace versor {
namespace {

double total(const Tensor& x) {
  double sum = 0;
  for (int64_t i = 0; i < x.numel(); ++i) sum += x.data<float>()[i];
  return sum;
}

}  // namespace

void CpuVqBackend::ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                              const Tensor& counts, const Tensor& sums, const Tensor& guard,
                              double decay, double eps, bool unit_length) {
  if (cpu::is_frozen(guard)) return;
  const int64_t K = codebook.dim(0), D = codebook.dim(1);
  float *c = codebook.data<float>(), *N = cluster_size.data<float>(), *pm = m.data<float>();
  const bool soft = counts.dtype() == DType::f32;
  const float* s = sums.data<float>();
  for (int64_t k = 0; k < K; ++k) {
    const float n = soft ? counts.data<float>()[k] : static_cast<float>(counts.data<int32_t>()[k]);
    N[k] = moving_average(N[k], n, decay);
  }
  const double sum = total(cluster_size);
  cpu::parallel_blocks(
      K,
      [=](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
          for (int64_t d = k * D; d < (k + 1) * D; ++d) pm[d] = moving_average(pm[d], s[d], decay);
          const double divisor =
              unit_length ? length_or_zero(norm(pm + k * D, D)) : smoothed_count(N[k], sum, K, eps);
          for (int64_t d = k * D; d < (k + 1) * D; ++d) c[d] = code_element(c[d], pm[d], divisor);
        }
      },
      cpu::rows_per_block(D));
}

void CpuVqBackend::draw_rows(Tensor& y, const Tensor& e, int64_t first, int64_t total,
                             const Tensor& draw, Rng rng) {
  const int64_t D = e.dim(1), R = e.dim(0);
  const Rng draws = rng.split(static_cast<uint64_t>(draw.data<int32_t>()[0]));
  float* out = y.data<float>();
  const float* in = e.data<float>();
  cpu::parallel_rows(y.dim(0), D, [=](int64_t i) {
    const int64_t row =
        draws.permute(static_cast<uint32_t>(i), static_cast<uint32_t>(total)) - first;
    if (0 <= row && row < R)
      std::copy_n(in + row * D, D, out + i * D);
    else
      std::fill_n(out + i * D, D, 0.f);
  });
}

void CpuVqBackend::replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                                      Tensor& replaced, const Tensor& candidates,
                                      const Tensor& guard, double fraction) {
  replaced.data<int32_t>()[0] = 0;
  if (cpu::is_frozen(guard)) return;
  const int64_t K = codebook.dim(0), D = codebook.dim(1), C = candidates.dim(0);
  float *c = codebook.data<float>(), *N = cluster_size.data<float>(), *pm = m.data<float>();
  const double uniform = total(cluster_size) / static_cast<double>(K);
  int32_t dead = 0;
  for (int64_t k = 0; k < K && dead < C; ++k) {
    if (!(N[k] < fraction * uniform)) continue;
    const float* row = candidates.data<float>() + D * dead++;
    N[k] = static_cast<float>(uniform);
    for (int64_t d = 0; d < D; ++d) {
      c[k * D + d] = row[d];
      pm[k * D + d] = N[k] * row[d];
    }
  }
  replaced.data<int32_t>()[0] = dead;
}

void CpuVqBackend::perplexity(Tensor& y, const Tensor& counts) {
  const int64_t L = counts.dim(0), K = counts.dim(1);
  double entropy = 0;  // of all symbols
  int64_t counted = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int32_t* n = counts.data<int32_t>() + l * K;
    double sum = 0;
    for (int64_t k = 0; k < K; ++k) sum += n[k];
    if (sum > 0) ++counted;
    for (int64_t k = 0; k < K; ++k)
      if (n[k] > 0) entropy -= n[k] / sum * std::log(n[k] / sum);
  }
  y.data<float>()[0] = mean_perplexity(entropy, counted);
}

}  // namespace versor
