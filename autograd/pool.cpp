// Pooling of images, composed of functions that move values and reduce rows.
#include "autograd/functions.h"

namespace versor {
namespace {

// The values of every window side by side.   x [N,H,W,C] -> [N h w C, kernel kernel], h = H/kernel
Variable windows(const char* name, const Variable& x, int64_t kernel) {
  check(x.shape().rank() == 4 && kernel >= 1 && kernel <= x.shape()[1] && kernel <= x.shape()[2],
        name, "windows of ", kernel, " x ", kernel, " do not fit into ", x.shape());
  const int64_t N = x.shape()[0], H = x.shape()[1], W = x.shape()[2], C = x.shape()[3];
  const int64_t h = H / kernel, w = W / kernel, row = w * kernel * C;
  Variable y = reshape(x, {N * H, W * C});
  if (w * kernel < W) y = slice(y, 0, row);
  if (h * kernel < H) y = slice(reshape(y, {N, H * row}), 0, h * kernel * row);
  y = permute(reshape(y, {N * h, kernel, w, kernel * C}), {0, 2, 1, 3});
  y = permute(reshape(y, {N * h * w, kernel * kernel, C}), {0, 2, 1});
  return reshape(y, {N * h * w * C, kernel * kernel});
}

Variable as_images(const Variable& y, const Shape& x, int64_t kernel) {
  return reshape(y, {x[0], x[1] / kernel, x[2] / kernel, x[3]});
}

}  // namespace

Variable max_pool2d(const Variable& x, int64_t kernel) {
  return as_images(max_axis1(windows("max_pool2d", x, kernel)), x.shape(), kernel);
}

Variable avg_pool2d(const Variable& x, int64_t kernel) {
  const Variable sums = sum_axis1(windows("avg_pool2d", x, kernel));
  return as_images(scale(sums, 1.f / static_cast<float>(kernel * kernel)), x.shape(), kernel);
}

}  // namespace versor
