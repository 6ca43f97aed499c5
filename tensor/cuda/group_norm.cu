// Group normalisation on a GPU. One block handles one group of one image: its statistics (two
// passes over its elements, which stay in the L2 cache), its outputs, and, backward, its dx. The
// sums per channel are computed by blocks that each take one image and some channels.
#include "tensor/cuda/launch.h"
#include "tensor/group_norm.h"

namespace versor {
namespace {

using cuda::kThreads;

// Calls f(i, c) for this thread's share of the elements of group k = n G + g: i is the index in x,
// c the channel.
template <class F>
__device__ inline void for_group(const GroupNormSizes& s, int64_t k, const F& f) {
  const int64_t g = k % s.groups, first = s.offset(k / s.groups, g), width = s.group_channels();
  for (int64_t e = threadIdx.x; e < s.group_elements(); e += kThreads)
    f(first + e / width * s.channels + e % width, g * width + e % width);
}

// Block k handles group k.
template <class T>
__global__ void group_norm_kernel(T* y, float* means, float* scales, const T* x,
                                  const float* weight, const float* bias, GroupNormSizes s,
                                  float eps) {
  const int64_t k = blockIdx.x;
  const auto n = static_cast<double>(s.group_elements());
  double sum = 0, squares = 0;
  for_group(s, k, [&](int64_t i, int64_t) { sum += static_cast<float>(x[i]); });
  const double mean = cuda::block_sum(sum) / n;
  for_group(s, k, [&](int64_t i, int64_t) {
    const double d = static_cast<float>(x[i]) - mean;
    squares += d * d;
  });
  squares = cuda::block_sum(squares);
  const GroupNormStatistics group{static_cast<float>(mean),
                                  GroupNormStatistics::scale_of(squares, n, eps)};
  if (threadIdx.x == 0) means[k] = group.mean, scales[k] = group.scale;
  for_group(s, k, [&](int64_t i, int64_t c) {
    y[i] = static_cast<T>(group.normalized(static_cast<float>(x[i])) * weight[c] + bias[c]);
  });
}

// Block (n, t) handles image n and the channels t * width + 0, 1, ... width - 1, laid out as in
// sum_axis0_kernel of reduce.cu.
template <class T>
__global__ void group_norm_sums_kernel(float* sums_dy, float* sums_dy_x, const T* dy, const T* x,
                                       const float* means, const float* scales, GroupNormSizes s,
                                       int width) {
  __shared__ double of_dy[kThreads], of_dy_x[kThreads];
  const int at_once = kThreads / width, row = threadIdx.x / width, column = threadIdx.x % width;
  const int64_t c = static_cast<int64_t>(blockIdx.y) * width + column, n = blockIdx.x;
  const bool has_work = row < at_once && c < s.channels;
  double sum = 0, sum_x = 0;
  if (has_work) {
    const int64_t k = n * s.groups + c / s.group_channels();
    const GroupNormStatistics group{means[k], scales[k]};
    for (int64_t p = row; p < s.positions; p += at_once) {
      const int64_t i = (n * s.positions + p) * s.channels + c;
      const double d = static_cast<float>(dy[i]);
      sum += d;
      sum_x += d * group.normalized(static_cast<float>(x[i]));
    }
  }
  of_dy[threadIdx.x] = sum;
  of_dy_x[threadIdx.x] = sum_x;
  __syncthreads();
  if (!has_work || row != 0) return;
  for (int other = 1; other < at_once; ++other) {
    sum += of_dy[other * width + column];
    sum_x += of_dy_x[other * width + column];
  }
  sums_dy[n * s.channels + c] = static_cast<float>(sum);
  sums_dy_x[n * s.channels + c] = static_cast<float>(sum_x);
}

// Block k handles group k. dx may be dy.
template <class T>
__global__ void group_norm_grad_kernel(T* dx, const T* dy, const T* x, const float* weight,
                                       const float* means, const float* scales,
                                       const float* sums_dy, const float* sums_dy_x,
                                       GroupNormSizes s) {
  const int64_t k = blockIdx.x, n = k / s.groups, begin = k % s.groups * s.group_channels();
  double of_dy = 0, of_dy_x = 0;
  for (int64_t c = begin + threadIdx.x; c < begin + s.group_channels(); c += kThreads) {
    of_dy += static_cast<double>(weight[c]) * sums_dy[n * s.channels + c];
    of_dy_x += static_cast<double>(weight[c]) * sums_dy_x[n * s.channels + c];
  }
  const auto elements = static_cast<double>(s.group_elements());
  of_dy = cuda::block_sum(of_dy) / elements;
  of_dy_x = cuda::block_sum(of_dy_x) / elements;
  const GroupNormGradient gradient{
      {means[k], scales[k]}, static_cast<float>(of_dy), static_cast<float>(of_dy_x)};
  for_group(s, k, [&](int64_t i, int64_t c) {
    dx[i] =
        static_cast<T>(gradient(static_cast<float>(dy[i]), static_cast<float>(x[i]), weight[c]));
  });
}

}  // namespace

void CudaBackend::group_norm(Tensor& y, Tensor& statistics, const Tensor& x, const Tensor& weight,
                             const Tensor& bias, float eps) {
  const GroupNormSizes s(x, statistics.dim(2));
  float *means = statistics.data<float>(), *scales = means + s.images * s.groups;
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    cuda::launch("group_norm", stream(), cuda::blocks_for(s.images * s.groups, 1), kThreads,
                 group_norm_kernel<T>, y.data<T>(), means, scales, x.data<T>(),
                 weight.data<float>(), bias.data<float>(), s, eps);
  });
}

void CudaBackend::group_norm_sums(Tensor& sums, const Tensor& dy, const Tensor& x,
                                  const Tensor& statistics) {
  const GroupNormSizes s(x, statistics.dim(2));
  const float *means = statistics.data<float>(), *scales = means + s.images * s.groups;
  float *sums_dy = sums.data<float>(), *sums_dy_x = sums_dy + s.images * s.channels;
  const int64_t width = std::min<int64_t>(s.channels, 32);
  const dim3 blocks(cuda::blocks_for(s.images, 1), cuda::blocks_for(s.channels, width));
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    cuda::launch("group_norm_sums", stream(), blocks, kThreads, group_norm_sums_kernel<T>, sums_dy,
                 sums_dy_x, dy.data<T>(), x.data<T>(), means, scales, s, static_cast<int>(width));
  });
}

void CudaBackend::group_norm_grad(Tensor& dx, const Tensor& dy, const Tensor& x,
                                  const Tensor& weight, const Tensor& statistics,
                                  const Tensor& sums) {
  const GroupNormSizes s(x, statistics.dim(2));
  const float *means = statistics.data<float>(), *scales = means + s.images * s.groups;
  const float *sums_dy = sums.data<float>(), *sums_dy_x = sums_dy + s.images * s.channels;
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    cuda::launch("group_norm_grad", stream(), cuda::blocks_for(s.images * s.groups, 1), kThreads,
                 group_norm_grad_kernel<T>, dx.data<T>(), dy.data<T>(), x.data<T>(),
                 weight.data<float>(), means, scales, sums_dy, sums_dy_x, s);
  });
}

}  // namespace versor
