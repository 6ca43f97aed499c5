// Functions that move values without changing them; their derivatives move them back.
#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// y = x seen with another shape;  dx = dy seen with x's.
Variable reshape(const Variable& x, Shape shape) {
  const Shape before = x.shape();
  return record("reshape", x.value().reshape(shape), {x},
                [=](const Tensor& dy) { return dy.reshape(before); });
}

Variable rows(const Variable& x) {
  return reshape(x, x.value().flat_rows().shape());
}

// Axis a of y is axis axes[a] of x;  dx: the inverse permutation of dy.
Variable permute(const Variable& x, const std::vector<int>& axes) {
  std::vector<int> inverse(axes.size());
  Tensor y = ops::permute(x.value(), axes);
  int i = 0;
  for (int axis : axes) inverse[axis] = i++;
  return record("permute", y, {x}, [=](const Tensor& dy) { return ops::permute(dy, inverse); });
}

// y[r,c] = x[r,begin+c];  dx = dy between columns of zeros.
Variable slice(const Variable& x, int64_t begin, int64_t end) {
  const Tensor vx = x.value();
  const int64_t columns = vx.shape()[-1];
  return record("slice", ops::slice(vx, begin, end), {x}, [=](const Tensor& dy) {
    const int64_t rows = dy.dim(0);
    std::vector<Tensor> parts;
    const auto zeros = [&](int64_t width) {
      return ops::zeros({rows, width}, dy.device(), dy.dtype());
    };
    if (begin > 0) parts.push_back(zeros(begin));
    parts.push_back(dy);
    if (end < columns) parts.push_back(zeros(columns - end));
    return ops::concat(parts);
  });
}

// y = the parts side by side;  the gradient of each part is its columns of dy.
Variable concat(const std::vector<Variable>& parts) {
  std::vector<Tensor> values;
  std::vector<int64_t> ends;  // the column after each part
  for (const Variable& part : parts) {
    values.push_back(part.value());
    ends.push_back((ends.empty() ? 0 : ends.back()) + part.shape()[-1]);
  }
  return record("concat", ops::concat(values), parts, [=](const Tensor& dy, const Needed& needed) {
    std::vector<Tensor> d(ends.size());
    for (size_t i = 0; i < ends.size(); ++i)
      if (needed[i]) d[i] = ops::slice(dy, i == 0 ? 0 : ends[i - 1], ends[i]);
    return Gradients(std::move(d));
  });
}

namespace {

// The shape of x with another extent of an axis.
Shape with_extent(const Shape& shape, int axis, int64_t extent) {
  std::vector<int64_t> extents(shape.begin(), shape.end());
  extents[static_cast<size_t>(axis)] = extent;
  return Shape(std::span<const int64_t>(extents));
}

// x as a matrix whose columns are all that an axis and those after it count.
struct FromAxis {
  int axis;          // from 0 on
  int64_t per_step;  // columns for each step along the axis
  Variable matrix;

  FromAxis(const char* op, const Variable& x, int number) {
    const Shape& shape = x.shape();
    axis = number < 0 ? number + shape.rank() : number;
    check(0 <= axis && axis < shape.rank(), op, "axis ", number, " is out of range for ", shape);
    int64_t rows = 1;
    per_step = 1;
    for (int a = 0; a < axis; ++a) rows *= shape[a];
    for (int a = axis + 1; a < shape.rank(); ++a) per_step *= shape[a];
    matrix = reshape(x, {rows, shape[axis] * per_step});
  }
};

}  // namespace

Variable slice(const Variable& x, int axis, int64_t begin, int64_t end) {
  const FromAxis from("slice", x, axis);
  const Variable y = slice(from.matrix, begin * from.per_step, end * from.per_step);
  return reshape(y, with_extent(x.shape(), from.axis, end - begin));
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  check(!parts.empty(), "concat", "nothing to join");
  const FromAxis first("concat", parts[0], axis);
  std::vector<Variable> matrices;
  int64_t extent = 0;
  for (const Variable& part : parts) {
    const FromAxis from("concat", part, axis);
    const int64_t along = part.shape()[from.axis];
    check(with_extent(part.shape(), from.axis, 1) == with_extent(parts[0].shape(), first.axis, 1),
          "concat", parts[0].shape(), " and ", part.shape(), " differ beside axis ", axis);
    extent += along;
    matrices.push_back(from.matrix);
  }
  return reshape(concat(matrices), with_extent(parts[0].shape(), first.axis, extent));
}

// y[r,:] = x[index[r],:];  dx[k,:] = sum of dy[r,:] over the rows with index[r] = k.
Variable gather_rows(const Variable& x, const Tensor& index) {
  const int64_t segments = x.shape()[0];
  return record("gather_rows", ops::gather_rows(x.value(), index), {x},
                [=](const Tensor& dy) { return ops::segment_sum(dy, index, segments); });
}

}  // namespace versor
