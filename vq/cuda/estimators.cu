// The gradient estimators on a GPU. The arithmetic of a row is vq/row_math.h, as on the CPU. A warp
// reads a row from memory once and holds it in registers, a few columns in each lane; sums run over
// the lanes (WarpSum). How many columns a lane holds is fixed when a kernel is compiled, because
// registers cannot be indexed at run time: there is one kernel each for up to 32, 64, 128, ... 1024
// columns. A longer row is one thread's work: correct, but slow.
// Read next: nearest.cu.
#include <type_traits>

#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"
#include "vq/cuda/backend.h"

namespace versor {
namespace {

using cuda::global_index;
using cuda::kThreads;
using cuda::kWarp;

// --- a row in the registers of a warp -----------------------------------------------------------

struct WarpSum {
  __device__ double operator()(double sum) const { return cuda::warp_sum(sum); }
};

constexpr int kQuad = 4;  // columns that are read and written as 16 bytes
using Quad = cuda::Vector<float, kQuad>;

// The column of element j of a lane. Lanes hold neighbouring columns, or neighbouring quads; in
// either case the place of a column, and so the order of a sum, depends only on the row's length.
template <int kPerLane>
__device__ inline int64_t column(int lane, int64_t j) {
  if constexpr (kPerLane < kQuad) return j * kWarp + lane;
  return (j / kQuad * kWarp + lane) * kQuad + j % kQuad;
}

// This lane's part of a row [D]; zeros beyond its end.   quads: D and the address allow them.
template <int kPerLane>
__device__ inline void load(float (&x)[kPerLane], const float* row, int64_t D, bool quads) {
  const int lane = threadIdx.x % kWarp;
  if constexpr (kPerLane >= kQuad) {
    if (quads)
      return for_elements(kPerLane / kQuad, [&](int64_t j) {
        const int64_t c = column<kPerLane>(lane, j * kQuad);
        const Quad quad = c < D ? *reinterpret_cast<const Quad*>(row + c) : Quad{};
        for_elements(kQuad, [&](int64_t i) { x[j * kQuad + i] = quad.lane[i]; });
      });
  }
  for_elements(kPerLane, [&](int64_t j) {
    const int64_t c = column<kPerLane>(lane, j);
    x[j] = c < D ? row[c] : 0.f;
  });
}

// The row [D] from the parts of all lanes.
template <int kPerLane>
__device__ inline void store(float* row, const float (&x)[kPerLane], int64_t D, bool quads) {
  const int lane = threadIdx.x % kWarp;
  if constexpr (kPerLane >= kQuad) {
    if (quads)
      return for_elements(kPerLane / kQuad, [&](int64_t j) {
        const int64_t c = column<kPerLane>(lane, j * kQuad);
        Quad quad;
        for_elements(kQuad, [&](int64_t i) { quad.lane[i] = x[j * kQuad + i]; });
        if (c < D) *reinterpret_cast<Quad*>(row + c) = quad;
      });
  }
  for_elements(kPerLane, [&](int64_t j) {
    const int64_t c = column<kPerLane>(lane, j);
    if (c < D) row[c] = x[j];
  });
}

// Whether rows [D] at all these addresses can be read as quads.
template <class... Pointers>
bool quads_fit(int64_t D, Pointers... rows) {
  return D % kQuad == 0 && (cuda::is_aligned(rows) && ...);
}

// --- choosing the kernel for a length -----------------------------------------------------------

constexpr int kMostPerLane = 32;
constexpr int kOneThread = 0;  // stands for "a thread holds the whole row, in memory"

// Calls f(constant) with the number of columns per lane, 1, 2, 4, ... 32, or kOneThread.
template <int kPerLane = 1, class F>
void with_row_length(int64_t D, const F& f) {
  if constexpr (kPerLane > kMostPerLane) {
    f(std::integral_constant<int, kOneThread>());
  } else {
    if (D > kPerLane * kWarp) return with_row_length<2 * kPerLane>(D, f);
    f(std::integral_constant<int, kPerLane>());
  }
}

template <int kPerLane>
unsigned blocks_for_rows(int64_t R) {
  return cuda::blocks_for(R, kPerLane == kOneThread ? kThreads : kThreads / kWarp);
}

// The row that this thread works on.
template <int kPerLane>
__device__ inline int64_t own_row() {
  return kPerLane == kOneThread ? global_index() : global_index() / kWarp;
}

// --- kernels ------------------------------------------------------------------------------------
// A warp without a row returns as a whole, so that all lanes of the others take part in their sums.

template <int kPerLane>
__global__ void gradient_kernel(Estimator estimator, float* de, const float* dy, const float* e,
                                const float* q, int64_t R, int64_t D, bool quads) {
  const int64_t r = own_row<kPerLane>();
  if (r >= R) return;
  if constexpr (kPerLane == kOneThread) {
    row_gradient(estimator, de + r * D, dy + r * D, e + r * D, q + r * D, D);
  } else {
    float row_e[kPerLane], row_q[kPerLane], row_g[kPerLane];
    load(row_e, e + r * D, D, quads);
    load(row_q, q + r * D, D, quads);
    load(row_g, dy + r * D, D, quads);
    row_gradient(estimator, row_g, row_g, row_e, row_q, kPerLane, WarpSum());
    store(de + r * D, row_g, D, quads);
  }
}

template <int kPerLane>
__global__ void unscaled_value_kernel(Estimator estimator, float* y, const float* e, const float* q,
                                      int64_t R, int64_t D, bool quads) {
  const int64_t r = own_row<kPerLane>();
  if (r >= R) return;
  if constexpr (kPerLane == kOneThread) {
    row_unscaled_value(estimator, y + r * D, e + r * D, q + r * D, D);
  } else {
    float row_e[kPerLane], row_q[kPerLane], row_y[kPerLane];
    load(row_e, e + r * D, D, quads);
    load(row_q, q + r * D, D, quads);
    row_unscaled_value(estimator, row_y, row_e, row_q, kPerLane, WarpSum());
    store(y + r * D, row_y, D, quads);
  }
}

// lambda, angle [R].
template <int kPerLane>
__global__ void geometry_kernel(double* lambda, double* angle, const float* e, const float* q,
                                int64_t R, int64_t D, bool quads) {
  const int64_t r = own_row<kPerLane>();
  if (r >= R) return;
  RowGeometry g;
  if constexpr (kPerLane == kOneThread) {
    g = row_geometry(e + r * D, q + r * D, D);
  } else {
    float row_e[kPerLane], row_q[kPerLane];
    load(row_e, e + r * D, D, quads);
    load(row_q, q + r * D, D, quads);
    g = row_geometry(row_e, row_q, kPerLane, WarpSum());
    if (threadIdx.x % kWarp != 0) return;  // all lanes hold the same
  }
  lambda[r] = g.lambda;
  angle[r] = row_angle(g);
}

constexpr int kManyThreads = 1024;  // of the one block that combines all rows

// The largest x of the threads of a block, the same value in every thread.
__device__ inline double block_largest(double x) {
  __shared__ double partial[kManyThreads / kWarp];
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    x = larger(x, __shfl_xor_sync(cuda::kAllLanes, x, offset));
  __syncthreads();  // the results before this one have been read by all
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = x;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) x = larger(x, partial[w]);
  return x;
}

__global__ void __launch_bounds__(kManyThreads)
    geometry_stats_kernel(float* stats, const double* lambda, const double* angle, int64_t R) {
  double lambda_sum = 0, angle_sum = 0, largest_lambda = 0, largest_angle = 0;
  for (int64_t r = threadIdx.x; r < R; r += blockDim.x) {
    lambda_sum += lambda[r];
    angle_sum += angle[r];
    largest_lambda = larger(largest_lambda, lambda[r]);
    largest_angle = larger(largest_angle, angle[r]);
  }
  lambda_sum = cuda::block_sum(lambda_sum);
  angle_sum = cuda::block_sum(angle_sum);
  largest_lambda = block_largest(largest_lambda);
  largest_angle = block_largest(largest_angle);
  if (threadIdx.x != 0) return;
  stats[0] = static_cast<float>(largest_lambda);
  stats[1] = static_cast<float>(lambda_sum / static_cast<double>(R));
  stats[2] = static_cast<float>(angle_sum / static_cast<double>(R));
  stats[3] = static_cast<float>(largest_angle);
}

// A thread looks the stream up once and then goes through many elements.
template <Noise noise>
__global__ void add_noise_kernel(float* x, int64_t n, float scale, const int32_t* draw, Rng rng) {
  const Rng stream = stream_of_draw(rng, *draw);
  for (int64_t i = global_index(); i < n; i += cuda::global_threads())
    x[i] += scale * noise_at(noise, stream, i);
}

}  // namespace

void CudaVqBackend::add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng) {
  const CudaBackend& backend = cuda::backend_of(x);
  const int64_t n = x.numel();
  cuda::launch(
      "add_noise", backend.stream(), cuda::grid_for(backend, n, kThreads), kThreads,
      noise == Noise::gumbel ? add_noise_kernel<Noise::gumbel> : add_noise_kernel<Noise::normal>,
      x.data<float>(), n, scale, draw.data<int32_t>(), rng);
}

void CudaVqBackend::estimator_grad(Tensor& de, const Tensor& dy, const Tensor& e, const Tensor& q,
                                   Estimator estimator) {
  const int64_t R = e.dim(0), D = e.dim(1);
  float* out = de.data<float>();
  const float *pdy = dy.data<float>(), *pe = e.data<float>(), *pq = q.data<float>();
  const bool quads = quads_fit(D, out, pdy, pe, pq);
  with_row_length(D, [&](auto per_lane) {
    cuda::launch("estimator_grad", cuda::backend_of(e).stream(), blocks_for_rows<per_lane()>(R),
                 kThreads, gradient_kernel<per_lane()>, estimator, out, pdy, pe, pq, R, D, quads);
  });
}

void CudaVqBackend::unscaled_value(Tensor& y, const Tensor& e, const Tensor& q,
                                   Estimator estimator) {
  const int64_t R = e.dim(0), D = e.dim(1);
  float* out = y.data<float>();
  const float *pe = e.data<float>(), *pq = q.data<float>();
  const bool quads = quads_fit(D, out, pe, pq);
  with_row_length(D, [&](auto per_lane) {
    cuda::launch("unscaled_value", cuda::backend_of(e).stream(), blocks_for_rows<per_lane()>(R),
                 kThreads, unscaled_value_kernel<per_lane()>, estimator, out, pe, pq, R, D, quads);
  });
}

void CudaVqBackend::geometry(Tensor& stats, const Tensor& e, const Tensor& q) {
  const int64_t R = e.dim(0), D = e.dim(1);
  const cuda::Stream stream = cuda::backend_of(e).stream();
  const float *pe = e.data<float>(), *pq = q.data<float>();
  const bool quads = quads_fit(D, pe, pq);
  cuda::Scratch<double> lambda(R, e.device()), angle(R, e.device());
  with_row_length(D, [&](auto per_lane) {
    cuda::launch("geometry", stream, blocks_for_rows<per_lane()>(R), kThreads,
                 geometry_kernel<per_lane()>, lambda.data(), angle.data(), pe, pq, R, D, quads);
  });
  cuda::launch("geometry_stats", stream, 1, kManyThreads, geometry_stats_kernel,
               stats.data<float>(), lambda.data(), angle.data(), R);
}

}  // namespace versor
