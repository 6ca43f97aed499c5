// Group normalisation on the CPU, image by image.
#include "tensor/group_norm.h"

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {
namespace {

// Statistics of the group of s that begins at x.
template <class T>
GroupNormStatistics statistics_of(const T* x, const GroupNormSizes& s, float eps) {
  const auto n = static_cast<double>(s.group_elements());
  double sum = 0, squares = 0;
  for (int64_t p = 0; p < s.positions; ++p)
    for (int64_t c = 0; c < s.group_channels(); ++c)
      sum += static_cast<float>(x[p * s.channels + c]);
  const double mean = sum / n;
  for (int64_t p = 0; p < s.positions; ++p)
    for (int64_t c = 0; c < s.group_channels(); ++c) {
      const double d = static_cast<float>(x[p * s.channels + c]) - mean;
      squares += d * d;
    }
  return {static_cast<float>(mean), GroupNormStatistics::scale_of(squares, n, eps)};
}

// The statistics that group_norm left, of group k = n G + g.
GroupNormStatistics kept(const Tensor& statistics, int64_t k) {
  const float* values = statistics.data<float>();
  return {values[k], values[statistics.numel() / 2 + k]};
}

}  // namespace

void CpuBackend::group_norm(Tensor& y, Tensor& statistics, const Tensor& x, const Tensor& weight,
                            const Tensor& bias, float eps) {
  const GroupNormSizes s(x, statistics.dim(2));
  const float *w = weight.data<float>(), *b = bias.data<float>();
  float *means = statistics.data<float>(), *scales = means + s.images * s.groups;
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    cpu::parallel_rows(s.images * s.groups, s.group_elements(), [=](int64_t k) {
      const int64_t g = k % s.groups, first = s.offset(k / s.groups, g);
      const float *wg = w + g * s.group_channels(), *bg = b + g * s.group_channels();
      const GroupNormStatistics group = statistics_of(in + first, s, eps);
      means[k] = group.mean;
      scales[k] = group.scale;
      for (int64_t p = 0; p < s.positions; ++p)
        for (int64_t c = 0; c < s.group_channels(); ++c) {
          const int64_t i = first + p * s.channels + c;
          out[i] = static_cast<T>(group.normalized(static_cast<float>(in[i])) * wg[c] + bg[c]);
        }
    });
  });
}

void CpuBackend::group_norm_sums(Tensor& sums, const Tensor& dy, const Tensor& x,
                                 const Tensor& statistics) {
  const GroupNormSizes s(x, statistics.dim(2));
  float *sums_dy = sums.data<float>(), *sums_dy_x = sums_dy + s.images * s.channels;
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const T *in = x.data<T>(), *gradient = dy.data<T>();
    cpu::parallel_rows(s.images, s.positions * s.channels, [&, in, gradient](int64_t n) {
      std::vector<double> of_dy(static_cast<size_t>(s.channels)), of_dy_x(of_dy);
      for (int64_t p = 0; p < s.positions; ++p)
        for (int64_t g = 0; g < s.groups; ++g) {
          const GroupNormStatistics group = kept(statistics, n * s.groups + g);
          for (int64_t c = g * s.group_channels(); c < (g + 1) * s.group_channels(); ++c) {
            const int64_t i = (n * s.positions + p) * s.channels + c;
            const auto d = static_cast<float>(gradient[i]);
            of_dy[c] += d;
            of_dy_x[c] += double{d} * group.normalized(static_cast<float>(in[i]));
          }
        }
      for (int64_t c = 0; c < s.channels; ++c) {
        sums_dy[n * s.channels + c] = static_cast<float>(of_dy[c]);
        sums_dy_x[n * s.channels + c] = static_cast<float>(of_dy_x[c]);
      }
    });
  });
}

void CpuBackend::group_norm_grad(Tensor& dx, const Tensor& dy, const Tensor& x,
                                 const Tensor& weight, const Tensor& statistics,
                                 const Tensor& sums) {
  const GroupNormSizes s(x, statistics.dim(2));
  const float *w = weight.data<float>(), *sums_dy = sums.data<float>();
  const float* sums_dy_x = sums_dy + s.images * s.channels;
  with_float_type(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const T *in = x.data<T>(), *gradient = dy.data<T>();
    T* out = dx.data<T>();
    cpu::parallel_rows(s.images * s.groups, s.group_elements(), [=, &statistics](int64_t k) {
      const int64_t n = k / s.groups, g = k % s.groups, first = s.offset(n, g);
      const float* wg = w + g * s.group_channels();
      const int64_t sum = n * s.channels + g * s.group_channels();
      double of_dy = 0, of_dy_x = 0;
      for (int64_t c = 0; c < s.group_channels(); ++c) {
        of_dy += double{wg[c]} * sums_dy[sum + c];
        of_dy_x += double{wg[c]} * sums_dy_x[sum + c];
      }
      const auto elements = static_cast<double>(s.group_elements());
      const GroupNormGradient gradient_of{kept(statistics, k), static_cast<float>(of_dy / elements),
                                          static_cast<float>(of_dy_x / elements)};
      for (int64_t p = 0; p < s.positions; ++p)
        for (int64_t c = 0; c < s.group_channels(); ++c) {
          const int64_t i = first + p * s.channels + c;
          out[i] = static_cast<T>(
              gradient_of(static_cast<float>(gradient[i]), static_cast<float>(in[i]), wg[c]));
        }
    });
  });
}

}  // namespace versor
