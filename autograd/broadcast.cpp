// Repeating along axes and adding up along them; each is the other's derivative.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y = x repeated;  dx = the sum of the dy of each element's copies.
Variable expand(const Variable& x, Shape shape) {
  const Shape before = x.shape();
  if (before == shape) return x;
  return record("expand", ops::expand(x.value(), shape), {x},
                [=](const Tensor& dy) { return ops::sum_to(dy, before); });
}

// y = the sum of x over the axes;  dx = dy repeated along them.
Variable sum(const Variable& x, const std::vector<int>& axes, bool keep) {
  const Shape before = x.shape();
  std::vector<bool> summed(static_cast<size_t>(before.rank()), false);
  for (int axis : axes) {
    const int a = axis < 0 ? axis + before.rank() : axis;
    check(0 <= a && a < before.rank() && !summed[static_cast<size_t>(a)], "sum", "axis ", axis,
          " of ", before, " does not exist or is given twice");
    summed[static_cast<size_t>(a)] = true;
  }
  std::vector<int64_t> with_ones, without;
  for (int a = 0; a < before.rank(); ++a) {
    const bool gone = summed[static_cast<size_t>(a)];
    with_ones.push_back(gone ? 1 : before[a]);
    if (!gone) without.push_back(before[a]);
  }
  const Shape ones{std::span<const int64_t>(with_ones)};
  const Shape after{std::span<const int64_t>(keep ? with_ones : without)};
  return record("sum", ops::sum_to(x.value(), ones).reshape(after), {x},
                [=](const Tensor& dy) { return ops::expand(dy.reshape(ones), before); });
}

Variable mean(const Variable& x, const std::vector<int>& axes, bool keep) {
  const Variable total = sum(x, axes, keep);
  const int64_t elements = x.shape().numel(), results = total.shape().numel();
  check(elements > 0, "mean", "the mean over no elements is undefined");
  return scale(total,
               static_cast<float>(static_cast<double>(results) / static_cast<double>(elements)));
}

}  // namespace versor
