// Pooling of images, composed of functions that move values and reduce rows.
#include <limits>

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// Columns begin, begin+1, ... of every row [R,C], as many as `count`.
Variable columns(const Variable& x, int64_t rows, int64_t begin, int64_t count) {
  const Variable y = reshape(x, {rows, x.shape().numel() / rows});
  return count == y.shape()[1] ? y : slice(y, begin, begin + count);
}

// `before` and `after` columns of a value around every row [R,C].
Variable padded(const Variable& x, int64_t rows, int64_t before, int64_t after, float value) {
  const auto constant = [&](int64_t count) {
    return Variable(ops::full({rows, count}, value, x.value().device()));
  };
  const Variable y = reshape(x, {rows, x.shape().numel() / rows});
  if (before + after == 0) return y;
  return before == 0 ? concat({y, constant(after)})
                     : concat({constant(before), y, constant(after)});
}

// The values of every window side by side, and the shape of the result.
struct Windows {
  Variable values;  // [N H' W' C, kernel kernel]
  Shape result;     // [N,H',W',C]
};

// Where windows lie side by side, the pixels only change their order.
Variable side_by_side(const Variable& x, int64_t k, int64_t h, int64_t w) {
  const int64_t N = x.shape()[0], H = x.shape()[1], C = x.shape()[3];
  Variable y = columns(x, N * H, 0, w * k * C);
  y = columns(reshape(y, {N, H * w * k * C}), N, 0, h * k * w * k * C);
  return permute(reshape(y, {N * h, k, w, k * C}), {0, 2, 1, 3});
}

// Else every place (i, j) of the windows is an image of its own, each stride-th pixel from (i, j)
// on. The padding at the end lets all of them have h rows and w columns of `stride` pixels.
Variable overlapping(const Variable& x, const PoolParams& p, int64_t h, int64_t w, float padding) {
  const int64_t N = x.shape()[0], C = x.shape()[3], s = p.stride;
  const int64_t W = x.shape()[2] + 2 * p.padding + s;
  Variable y = padded(x, N * x.shape()[1], p.padding * C, (p.padding + s) * C, padding);
  y = padded(y, N, p.padding * W * C, (p.padding + s) * W * C, padding);
  std::vector<Variable> places;
  for (int64_t i = 0; i < p.kernel; ++i) {
    const Variable rows_of_i = columns(columns(y, N, i * W * C, h * s * W * C), N * h, 0, W * C);
    for (int64_t j = 0; j < p.kernel; ++j)
      places.push_back(columns(columns(rows_of_i, N * h, j * C, w * s * C), N * h * w, 0, C));
  }
  return concat(places);
}

Windows windows_of(const char* name, const Variable& x, PoolParams p, float padding) {
  if (p.stride == 0) p.stride = p.kernel;
  const Shape in = x.shape();
  check(in.rank() == 4, name, "needs images [N,H,W,C], got ", in);
  check(p.kernel >= 1 && p.stride >= 1 && p.padding >= 0 && 2 * p.padding <= p.kernel, name,
        "kernel ", p.kernel, " and stride ", p.stride, " must be at least 1, padding ", p.padding,
        " between 0 and half a kernel");
  check(p.kernel <= in[1] + 2 * p.padding && p.kernel <= in[2] + 2 * p.padding, name, "windows of ",
        p.kernel, " x ", p.kernel, " do not fit into ", in, ", padding ", p.padding);
  const Conv2dParams sizes{p.stride, p.padding};
  const Shape out{in[0], sizes.out_size(in[1], p.kernel), sizes.out_size(in[2], p.kernel), in[3]};
  const int64_t places = p.kernel * p.kernel;
  const Variable y = p.stride == p.kernel && p.padding == 0
                         ? side_by_side(x, p.kernel, out[1], out[2])
                         : overlapping(x, p, out[1], out[2], padding);
  const Variable last = permute(reshape(y, {out.numel() / in[3], places, in[3]}), {0, 2, 1});
  return {reshape(last, {out.numel(), places}), out};
}

}  // namespace

Variable max_pool2d(const Variable& x, const PoolParams& params) {
  const Windows windows =
      windows_of("max_pool2d", x, params, -std::numeric_limits<float>::infinity());
  return reshape(max_axis1(windows.values), windows.result);
}

Variable avg_pool2d(const Variable& x, const PoolParams& params) {
  const Windows windows = windows_of("avg_pool2d", x, params, 0.f);
  const auto places = static_cast<float>(params.kernel * params.kernel);
  return reshape(scale(sum_axis1(windows.values), 1.f / places), windows.result);
}

// y[n,h,w,c] = x[n,h/f,w/f,c];  dx: the sum of dy over the f x f pixels.
Variable upsample_nearest2d(const Variable& x, int64_t factor) {
  const Shape shape = x.shape();
  check(shape.rank() == 4 && factor > 0, "upsample_nearest2d", "cannot enlarge ", shape, " by ",
        factor);
  const int64_t N = shape[0], H = shape[1], W = shape[2] * factor, C = shape[3];
  const int64_t pixels = N * H * shape[2];
  const Variable wide = expand(reshape(x, {pixels, 1, C}), {pixels, factor, C});
  const Variable y = expand(reshape(wide, {N * H, 1, W * C}), {N * H, factor, W * C});
  return reshape(y, {N, H * factor, W, C});
}

}  // namespace versor
