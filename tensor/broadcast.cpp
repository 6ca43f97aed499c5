// Repeating a tensor along axes, and adding it up along them, as compositions of other primitives:
// see ops.h.
#include <algorithm>

#include "tensor/checks.h"
#include "tensor/ops.h"

namespace versor::ops {
namespace {

// Adjacent axes that are repeated, or kept, count as one: x is [A,1,B], y [A,N,B].
struct Run {
  int64_t A, N, B;
};

// [A,B] -> [A,N,B].
Tensor repeat(const Tensor& x, Run r) {
  const auto ones = [&](int64_t rows, int64_t columns) {
    return full({rows, columns}, 1.f, x.device());
  };
  if (r.A == 1) return binary_rows(ones(r.N, r.B), x.reshape({r.B}), BinaryOp::mul);
  const Tensor y = scale_rows(ones(r.A * r.B, r.N), x.reshape({r.A * r.B}));
  return r.B == 1 ? y : permute(y.reshape({r.A, r.B, r.N}), {0, 2, 1});
}

// [A,N,B] -> [A,B].
Tensor add_up(const Tensor& y, Run r) {
  if (r.A == 1) return sum_axis0(y.reshape({r.N, r.B}));
  const Tensor last = r.B == 1 ? y : permute(y.reshape({r.A, r.N, r.B}), {0, 2, 1});
  return sum_axis1(last.reshape({r.A * r.B, r.N}));
}

// The runs of axes along which `from` is repeated to `to`, first axes first.
std::vector<Run> runs_of(const char* op, const Shape& from, const Shape& to) {
  const int missing = to.rank() - from.rank();
  const auto kept = [&](int axis) { return axis >= missing && from[axis - missing] == to[axis]; };
  bool fits = missing >= 0;
  for (int axis = 0; fits && axis < to.rank(); ++axis)
    fits = kept(axis) || axis < missing || from[axis - missing] == 1;
  check(fits, op, from, " does not repeat to ", to);
  std::vector<Run> runs;
  for (int axis = 0; axis < to.rank();) {
    int end = axis;
    Run run{1, 1, 1};
    while (end < to.rank() && !kept(end)) run.N *= to[end++];
    for (int a = 0; a < axis; ++a) run.A *= to[a];
    for (int a = end; a < to.rank(); ++a) run.B *= kept(a) ? to[a] : 1;
    if (end > axis) runs.push_back(run);
    axis = std::max(end, axis + 1);
  }
  return runs;
}

}  // namespace

Shape broadcast_shape(const Shape& a, const Shape& b) {
  const Shape &longer = a.rank() < b.rank() ? b : a, &shorter = a.rank() < b.rank() ? a : b;
  std::vector<int64_t> extents(longer.begin(), longer.end());
  for (int i = 1; i <= shorter.rank(); ++i) {
    int64_t& extent = extents[extents.size() - static_cast<size_t>(i)];
    if (extent == 1) extent = shorter[-i];
    check(shorter[-i] == 1 || shorter[-i] == extent, "binary", "shapes differ: ", a, " and ", b);
  }
  return Shape(std::span<const int64_t>(extents));
}

Tensor expand(const Tensor& x, Shape shape) {
  same_device("expand", {&x});
  check_f32("expand", {&x});
  Tensor y = x;
  for (const Run& run : runs_of("expand", x.shape(), shape)) y = repeat(y, run);
  return y.reshape(shape);
}

Tensor sum_to(const Tensor& y, Shape shape) {
  same_device("sum_to", {&y});
  check_f32("sum_to", {&y});
  Tensor x = y;
  std::vector<Run> runs = runs_of("sum_to", shape, y.shape());
  std::reverse(runs.begin(), runs.end());
  for (const Run& run : runs) x = add_up(x, run);
  return x.reshape(shape);
}

}  // namespace versor::ops
