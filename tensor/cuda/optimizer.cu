// Steps of optimisers on a GPU, one launch for all parameters (lists.h). The arithmetic of an
// element is that of tensor/optimizer.h.
#include "tensor/cuda/lists.h"
#include "tensor/cuda/scratch.h"
#include "tensor/optimizer.h"

namespace versor {
namespace {

using cuda::Floats;
using cuda::is_aligned;
using cuda::kLanes;
using cuda::kThreads;
using cuda::load;
using cuda::Part;
using cuda::PartTable;
using cuda::store;

struct AdamStep {
  float *w, *m, *v;  // of the part
  const float* g;
  AdamParams params;
  AdamFactors factors;

  template <int L>
  __device__ void at(int64_t i) const {
    Floats<L> ws = load<L>(w + i), ms = load<L>(m + i), vs = load<L>(v + i);
    const Floats<L> gs = load<L>(g + i);
    for (int l = 0; l < L; ++l)
      adam_update(ws.lane[l], ms.lane[l], vs.lane[l], gs.lane[l], params, factors);
    store(w + i, ws);
    store(m + i, ms);
    store(v + i, vs);
  }
};

__global__ void adam_kernel(float* m, float* v, PartTable table, const int32_t* step,
                            const int32_t* counts, const int32_t* guard, AdamParams params) {
  if (cuda::is_frozen(guard)) return;
  __shared__ AdamFactors factors;
  bool has_factors = false;
  int32_t count = 0;  // the step count that the factors belong to
  cuda::for_own_chunks(table, [&](const Part& part, int64_t chunk) {
    if (!has_factors || counts[part.tag] != count) {
      count = counts[part.tag];
      has_factors = true;
      __syncthreads();  // all have read the previous factors
      // Powers in f64: once per block is enough.
      if (threadIdx.x == 0) factors = adam_factors(params, step[0], count);
      __syncthreads();
    }
    float *pw = part.value, *pm = m + part.offset, *pv = v + part.offset;
    const float* g = static_cast<const float*>(part.data);
    const bool aligned = is_aligned(pw) && is_aligned(pm) && is_aligned(pv) && is_aligned(g);
    const AdamStep body{pw, pm, pv, g, params, factors};
    cuda::for_chunk<kLanes<float>>(chunk, part.numel, aligned, body);
  });
}

struct SgdStep {
  float *w, *u;  // of the part; u may be null
  const float* g;
  SgdParams params;
  float lr;

  template <int L>
  __device__ void at(int64_t i) const {
    Floats<L> ws = load<L>(w + i), us{};
    if (u) us = load<L>(u + i);
    const Floats<L> gs = load<L>(g + i);
    for (int l = 0; l < L; ++l) sgd_update(ws.lane[l], us.lane[l], gs.lane[l], params, lr);
    store(w + i, ws);
    if (u) store(u + i, us);
  }
};

__global__ void sgd_kernel(float* velocity, PartTable table, const int32_t* step,
                           const int32_t* guard, SgdParams params) {
  if (cuda::is_frozen(guard)) return;
  const auto lr = static_cast<float>(learning_rate(params, step[0]));
  cuda::for_own_chunks(table, [&](const Part& part, int64_t chunk) {
    float* u = velocity ? velocity + part.offset : nullptr;
    const float* g = static_cast<const float*>(part.data);
    const bool aligned = is_aligned(part.value) && is_aligned(u) && is_aligned(g);
    const SgdStep body{part.value, u, g, params, lr};
    cuda::for_chunk<kLanes<float>>(chunk, part.numel, aligned, body);
  });
}

struct CopyPart {
  float* target;
  const float* g;

  template <int L>
  __device__ void at(int64_t i) const {
    store(target + i, load<L>(g + i));
  }
};

__global__ void gather_gradients_kernel(float* flat, PartTable table) {
  cuda::for_own_chunks(table, [&](const Part& part, int64_t chunk) {
    const CopyPart body{flat + part.offset, static_cast<const float*>(part.data)};
    const bool aligned = is_aligned(body.target) && is_aligned(body.g);
    cuda::for_chunk<kLanes<float>>(chunk, part.numel, aligned, body);
  });
}

__global__ void clip_kernel(float* x, int64_t n, const float* norm, float max_norm) {
  const float factor = clip_factor(norm[0], max_norm);
  for (int64_t i = cuda::global_index(); i < n; i += cuda::global_threads()) x[i] *= factor;
}

// Calls launch_one(blocks, table) until all parts are done.
template <class LaunchOne>
void for_parts(const CudaBackend& backend, std::span<const ParameterPart> parts,
               const LaunchOne& launch_one) {
  const auto part_of = [&](size_t j) {
    const ParameterPart& p = parts[j];
    auto* value = static_cast<float*>(p.value.defined() ? p.value.address() : nullptr);
    return Part{p.grad.address(), value, p.grad.numel(), p.offset, p.index, DType::f32};
  };
  cuda::for_tables(parts.size(), part_of, [&](const PartTable& table) {
    launch_one(cuda::grid_for(backend, table.chunks(), 1), table);
  });
}

}  // namespace

void CudaBackend::adam(Tensor& m, Tensor& v, std::span<const ParameterPart> parts,
                       const Tensor& step, const Tensor& counts, const Tensor& guard,
                       const AdamParams& params) {
  for_parts(*this, parts, [&](unsigned blocks, const PartTable& table) {
    cuda::launch("adam", stream(), blocks, kThreads, adam_kernel, m.data<float>(), v.data<float>(),
                 table, step.data<int32_t>(), counts.data<int32_t>(), cuda::guard_of(guard),
                 params);
  });
}

void CudaBackend::sgd(Tensor& velocity, std::span<const ParameterPart> parts, const Tensor& step,
                      const Tensor& guard, const SgdParams& params) {
  float* u = velocity.defined() ? velocity.data<float>() : nullptr;
  for_parts(*this, parts, [&](unsigned blocks, const PartTable& table) {
    cuda::launch("sgd", stream(), blocks, kThreads, sgd_kernel, u, table, step.data<int32_t>(),
                 cuda::guard_of(guard), params);
  });
}

void CudaBackend::gather_gradients(Tensor& flat, std::span<const ParameterPart> parts) {
  for_parts(*this, parts, [&](unsigned blocks, const PartTable& table) {
    cuda::launch("gather_gradients", stream(), blocks, kThreads, gather_gradients_kernel,
                 flat.data<float>(), table);
  });
}

void CudaBackend::clip(Tensor& x, const Tensor& norm, float max_norm) {
  cuda::launch("clip", stream(), cuda::grid_for(*this, x.numel(), kThreads), kThreads, clip_kernel,
               x.data<float>(), x.numel(), norm.data<float>(), max_norm);
}

}  // namespace versor
