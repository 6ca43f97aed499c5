// EMA update, dead codes and perplexity on a GPU. What needs all K codes at once (their sum, or
// which is the i-th dead one) is done by a single block, whose threads stride over the codes; what
// is done to the K x D elements has one warp per code. The launches do not depend on the data, so
// that a CUDA graph can replay them: the kernels themselves see that a guard has found something,
// or that no code is dead. The formulas are in vq/row_math.h.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"
#include "vq/cuda/backend.h"

namespace versor {
namespace {

using cuda::kThreads;
using cuda::kWarp;

constexpr int kManyThreads = 1024;  // of a single block
constexpr int kNotReplaced = -1;    // in place of a candidate

// The code that this thread's warp works on.
__device__ inline int64_t own_code() {
  return cuda::global_index() / kWarp;
}
unsigned blocks_for_codes(int64_t K) {
  return cuda::blocks_for(K, kThreads / kWarp);
}

// One block: N [K], and the sum of the new N in total[0].
template <class Count>
__global__ void __launch_bounds__(kManyThreads)
    ema_count_kernel(float* N, double* total, const Count* counts, int64_t K, double decay,
                     const int32_t* guard) {
  if (cuda::is_frozen(guard)) return;
  double sum = 0;
  for (int64_t k = threadIdx.x; k < K; k += blockDim.x) {
    N[k] = moving_average(N[k], static_cast<float>(counts[k]), decay);
    sum += N[k];
  }
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) total[0] = sum;
}

// A warp per code: m and codebook [K,D] from the new N.
__global__ void ema_code_kernel(float* codebook, float* m, const float* N, const double* total,
                                const float* sums, int64_t K, int64_t D, double decay, double eps,
                                bool unit_length, const int32_t* guard) {
  const int64_t k = own_code();
  if (k >= K || cuda::is_frozen(guard)) return;
  const int64_t first = k * D + threadIdx.x % kWarp, end = (k + 1) * D;
  double squares = 0;
  for (int64_t i = first; i < end; i += kWarp) {
    m[i] = moving_average(m[i], sums[i], decay);
    squares += static_cast<double>(m[i]) * m[i];
  }
  const double divisor = unit_length ? length_or_zero(std::sqrt(cuda::warp_sum(squares)))
                                     : smoothed_count(N[k], total[0], K, eps);
  for (int64_t i = first; i < end; i += kWarp)
    codebook[i] = code_element(codebook[i], m[i], divisor);
}

// A warp per row of y [C,D]: see draw_rows in vq/backend.h.
__global__ void draw_rows_kernel(float* y, const float* e, int64_t C, int64_t R, int64_t D,
                                 int64_t first, int64_t total, const int32_t* draw, Rng rng) {
  const int64_t i = own_code();
  if (i >= C) return;
  const Rng draws = rng.split(static_cast<uint64_t>(draw[0]));
  const int64_t row = draws.permute(static_cast<uint32_t>(i), static_cast<uint32_t>(total)) - first;
  const bool is_here = 0 <= row && row < R;
  for (int64_t d = threadIdx.x % kWarp; d < D; d += kWarp)
    y[i * D + d] = is_here ? e[row * D + d] : 0.f;
}

// One block: which candidate becomes code k (source[k], or kNotReplaced), and N of the
// replaced codes. The dead codes are numbered in the order of k, 1,024 codes at a time: a ballot
// numbers them within a warp, the counts of the warps before add the rest.
__global__ void __launch_bounds__(kManyThreads)
    dead_code_kernel(float* N, int32_t* source, int32_t* replaced, int64_t K, int64_t C,
                     const int32_t* guard, double fraction) {
  __shared__ int dead_in_warp[kManyThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const bool frozen = cuda::is_frozen(guard);
  double sum = 0;
  for (int64_t k = threadIdx.x; k < K; k += blockDim.x) sum += N[k];
  const double uniform = cuda::block_sum(sum) / static_cast<double>(K);
  int64_t dead_before = 0;  // among the codes below `first`
  for (int64_t first = 0; first < K; first += blockDim.x) {
    const int64_t k = first + threadIdx.x;
    const bool dead = k < K && !frozen && N[k] < fraction * uniform;
    const unsigned dead_lanes = __ballot_sync(cuda::kAllLanes, dead);
    __syncthreads();  // the counts of the codes before these have been read by all
    if (lane == 0) dead_in_warp[warp] = __popc(dead_lanes);
    __syncthreads();
    int64_t number = dead_before + __popc(dead_lanes & ((1u << lane) - 1));
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
      if (w < warp) number += dead_in_warp[w];
      dead_before += dead_in_warp[w];
    }
    if (k < K) source[k] = kNotReplaced;
    if (dead && number < C) {
      source[k] = static_cast<int32_t>(number);
      N[k] = static_cast<float>(uniform);
    }
  }
  if (threadIdx.x == 0) replaced[0] = static_cast<int32_t>(std::min(dead_before, C));
}

// A warp per code: the replaced ones take their candidate.
__global__ void new_code_kernel(float* codebook, float* m, const float* N, const float* candidates,
                                const int32_t* source, int64_t K, int64_t D) {
  const int64_t k = own_code();
  if (k >= K || source[k] == kNotReplaced) return;
  const float* row = candidates + source[k] * D;
  for (int64_t d = threadIdx.x % kWarp; d < D; d += kWarp) {
    codebook[k * D + d] = row[d];
    m[k * D + d] = N[k] * row[d];
  }
}

// One block: y [1] of counts [L,K].
__global__ void __launch_bounds__(kManyThreads)
    perplexity_kernel(float* y, const int32_t* counts, int64_t L, int64_t K) {
  double entropy = 0;  // this thread's part of the entropies of all symbols
  int64_t counted = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int32_t* n = counts + l * K;
    double sum = 0;
    for (int64_t k = threadIdx.x; k < K; k += blockDim.x) sum += n[k];
    sum = cuda::block_sum(sum);
    if (sum > 0) ++counted;
    for (int64_t k = threadIdx.x; k < K; k += blockDim.x) {
      const double p = n[k] / sum;
      if (n[k] > 0) entropy -= p * std::log(p);
    }
  }
  entropy = cuda::block_sum(entropy);
  if (threadIdx.x == 0) y[0] = mean_perplexity(entropy, counted);
}

}  // namespace

void CudaVqBackend::ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                               const Tensor& counts, const Tensor& sums, const Tensor& guard,
                               double decay, double eps, bool unit_length) {
  const int64_t K = codebook.dim(0), D = codebook.dim(1);
  const cuda::Stream stream = cuda::backend_of(codebook).stream();
  const int32_t* guarded_by = cuda::guard_of(guard);
  float* N = cluster_size.data<float>();
  cuda::Scratch<double> total(1, codebook.device());
  const auto count = [&](const auto* n) {
    using Count = std::remove_cvref_t<decltype(*n)>;
    cuda::launch("ema_count", stream, 1, kManyThreads, ema_count_kernel<Count>, N, total.data(), n,
                 K, decay, guarded_by);
  };
  if (counts.dtype() == DType::f32)
    count(counts.data<float>());
  else
    count(counts.data<int32_t>());
  cuda::launch("ema_code", stream, blocks_for_codes(K), kThreads, ema_code_kernel,
               codebook.data<float>(), m.data<float>(), N, total.data(), sums.data<float>(), K, D,
               decay, eps, unit_length, guarded_by);
}

void CudaVqBackend::draw_rows(Tensor& y, const Tensor& e, int64_t first, int64_t total,
                              const Tensor& draw, Rng rng) {
  const int64_t C = y.dim(0);
  cuda::launch("draw_rows", cuda::backend_of(y).stream(), blocks_for_codes(C), kThreads,
               draw_rows_kernel, y.data<float>(), e.data<float>(), C, e.dim(0), e.dim(1), first,
               total, draw.data<int32_t>(), rng);
}

void CudaVqBackend::replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                                       Tensor& replaced, const Tensor& candidates,
                                       const Tensor& guard, double fraction) {
  const int64_t K = codebook.dim(0), D = codebook.dim(1);
  const cuda::Stream stream = cuda::backend_of(codebook).stream();
  float* N = cluster_size.data<float>();
  cuda::Scratch<int32_t> source(K, codebook.device());
  cuda::launch("dead_code", stream, 1, kManyThreads, dead_code_kernel, N, source.data(),
               replaced.data<int32_t>(), K, candidates.dim(0), cuda::guard_of(guard), fraction);
  cuda::launch("new_code", stream, blocks_for_codes(K), kThreads, new_code_kernel,
               codebook.data<float>(), m.data<float>(), N, candidates.data<float>(), source.data(),
               K, D);
}

void CudaVqBackend::perplexity(Tensor& y, const Tensor& counts) {
  cuda::launch("perplexity", cuda::backend_of(counts).stream(), 1, kManyThreads, perplexity_kernel,
               y.data<float>(), counts.data<int32_t>(), counts.dim(0), counts.dim(1));
}

VqBackend& cuda_vq_backend() {
  static CudaVqBackend backend;
  return backend;
}

}  // namespace versor
