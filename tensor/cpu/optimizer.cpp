// Steps of optimisers on the CPU: loops around the formulas of tensor/optimizer.h.
#include "tensor/optimizer.h"

#include <algorithm>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {
namespace {

float* values_of(const ParameterPart& part) {
  return static_cast<float*>(part.value.address());
}

}  // namespace

// In these loops `const auto p = params` are copies that no store can change: without them the
// compiler does not vectorise.

void CpuBackend::adam(Tensor& m, Tensor& v, std::span<const ParameterPart> parts,
                      const Tensor& step, const Tensor& counts, const Tensor& guard,
                      const AdamParams& params) {
  if (cpu::is_frozen(guard)) return;
  for (const ParameterPart& part : parts) {
    const AdamFactors factors =
        adam_factors(params, step.data<int32_t>()[0], counts.data<int32_t>()[part.index]);
    float *w = values_of(part), *pm = m.data<float>() + part.offset;
    float* pv = v.data<float>() + part.offset;
    const float* g = part.grad.data<float>();
    cpu::parallel_blocks(part.grad.numel(), [=](int64_t begin, int64_t end) {
      const AdamParams p = params;
      const AdamFactors f = factors;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) adam_update(w[i], pm[i], pv[i], g[i], p, f);
    });
  }
}

void CpuBackend::sgd(Tensor& velocity, std::span<const ParameterPart> parts, const Tensor& step,
                     const Tensor& guard, const SgdParams& params) {
  if (cpu::is_frozen(guard)) return;
  const auto rate = static_cast<float>(learning_rate(params, step.data<int32_t>()[0]));
  for (const ParameterPart& part : parts) {
    float* w = values_of(part);
    float* u = velocity.defined() ? velocity.data<float>() + part.offset : nullptr;
    const float* g = part.grad.data<float>();
    cpu::parallel_blocks(part.grad.numel(), [=](int64_t begin, int64_t end) {
      const SgdParams p = params;
      const float lr = rate;
      if (u) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) sgd_update(w[i], u[i], g[i], p, lr);
      } else {
        for (int64_t i = begin; i < end; ++i) {
          float none = 0;
          sgd_update(w[i], none, g[i], p, lr);
        }
      }
    });
  }
}

void CpuBackend::gather_gradients(Tensor& flat, std::span<const ParameterPart> parts) {
  for (const ParameterPart& part : parts) {
    float* target = flat.data<float>() + part.offset;
    const float* g = part.grad.data<float>();
    cpu::parallel_blocks(part.grad.numel(), [=](int64_t begin, int64_t end) {
      std::copy(g + begin, g + end, target + begin);
    });
  }
}

void CpuBackend::clip(Tensor& x, const Tensor& norm, float max_norm) {
  float* out = x.data<float>();
  const float factor = clip_factor(norm.data<float>()[0], max_norm);
  cpu::parallel_blocks(x.numel(), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] *= factor;
  });
}

}  // namespace versor
