// Checks, allocation and tracing in front of the backend: see ops.h. Each function reads
// check -> allocate -> trace -> call.
#include "tensor/ops.h"

#include <utility>

#include "tensor/checks.h"
#include "tensor/trace.h"

namespace versor::ops {

// --- filling and converting ---

void fill(Tensor& y, float value) {
  TraceScope trace("fill", y.backend(), 0, {&y});
  trace.run(y.backend(), &Backend::fill, y, value);
}

void copy(Tensor& y, const Tensor& x) {
  Backend& backend = same_device("copy", {&y, &x});
  check_same_shape("copy", y, x);
  check_dtype("copy", x, y.dtype());
  TraceScope trace("copy", backend, 0, {&y, &x});
  trace.run(backend, &Backend::copy, y, x);
}

Tensor full(Shape shape, float value, Device device, DType dtype) {
  Tensor y(shape, dtype, device);
  fill(y, value);
  return y;
}

Tensor zeros(Shape shape, Device device, DType dtype) {
  return full(shape, 0.f, device, dtype);
}

Tensor clone(const Tensor& x) {
  Tensor y(x.shape(), x.dtype(), x.device());
  copy(y, x);
  return y;
}

Tensor cast(const Tensor& x, DType dtype) {
  Backend& backend = same_device("cast", {&x});
  Tensor y(x.shape(), dtype, x.device());
  TraceScope trace("cast", backend, 0, {&y, &x});
  trace.run(backend, &Backend::cast, y, x);
  return y;
}

Tensor affine(const Tensor& x, float scale, float shift, DType dtype) {
  Backend& backend = same_device("affine", {&x});
  Tensor y(x.shape(), dtype, x.device());
  TraceScope trace("affine", backend, 2 * count(x), {&y, &x});
  trace.run(backend, &Backend::affine, y, x, scale, shift);
  return y;
}

Tensor uniform(Shape shape, Rng rng, float low, float high, Device device) {
  check(low <= high, "uniform", "range ", low, "..", high, " is empty");
  Tensor y(shape, DType::f32, device);
  TraceScope trace("uniform", y.backend(), 0, {&y});
  trace.run(y.backend(), &Backend::uniform, y, rng, low, high);
  return y;
}

Tensor normal(Shape shape, Rng rng, Device device) {
  Tensor y(shape, DType::f32, device);
  TraceScope trace("normal", y.backend(), 0, {&y});
  trace.run(y.backend(), &Backend::normal, y, rng);
  return y;
}

void increment(Tensor& counter) {
  check_dtype("increment", counter, DType::i32);
  check_scalar("increment", counter);
  increment(counter, {0});
}

void increment(Tensor& counters, const std::vector<int32_t>& which) {
  check_dtype("increment", counters, DType::i32);
  for (int32_t i : which)
    check(0 <= i && i < counters.numel(), "increment", "there is no counter ", i, " among ",
          counters.shape());
  TraceScope trace("increment", counters.backend(), 0, {&counters});
  trace.run(counters.backend(), &Backend::increment, counters, which);
}

void add_counts(Tensor& total, const Tensor& counts) {
  Backend& backend = same_device("add_counts", {&total, &counts});
  check_dtype("add_counts", total, DType::i32);
  check_dtype("add_counts", counts, DType::i32);
  check_same_shape("add_counts", total, counts);
  TraceScope trace("add_counts", backend, 0, {&total, &counts});
  trace.run(backend, &Backend::add_counts, total, counts);
}

void write_row(Tensor& table, const Tensor& row, const std::vector<Tensor>& values) {
  Backend& backend = same_device("write_row", {&table, &row});
  check_f32("write_row", {&table});
  check_matrix("write_row", table);
  check_dtype("write_row", row, DType::i32);
  check_scalar("write_row", row);
  check(static_cast<int64_t>(values.size()) == table.dim(1), "write_row", values.size(),
        " values do not fill a row of ", table.shape());
  for (const Tensor& value : values) {
    same_device("write_row", {&table, &value});
    check_scalar("write_row", value);
    check(value.dtype() == DType::f32 || value.dtype() == DType::i32, "write_row",
          "needs f32 or i32, got ", value.dtype());
  }
  check_indices("write_row", row, table.dim(0), "rows of the table");
  TraceScope trace("write_row", backend, 0, {&row});
  trace.run(backend, &Backend::write_row, table, row, values);
}

Tensor new_guard(Device device) {
  return Tensor::from(std::vector<int32_t>{kNothingFound, kNothingFound}, {2}, device);
}

void find_nonfinite(Tensor& guard, const std::vector<Tensor>& tensors, int first_tag,
                    const Tensor& step) {
  Backend& backend = same_device("find_nonfinite", {&guard, &step});
  check_guard("find_nonfinite", guard, step);
  check_dtype("find_nonfinite", step, DType::i32);
  check_scalar("find_nonfinite", step);
  for (const Tensor& t : tensors) {
    same_device("find_nonfinite", {&guard, &t});
    check_float("find_nonfinite", {&t});
  }
  TraceScope trace("find_nonfinite", backend, 0, {});
  trace.run(backend, &Backend::find_nonfinite, guard, tensors, first_tag, step);
}

// --- element-wise ---

Tensor unary(const Tensor& x, UnaryOp op) {
  Backend& backend = same_device("unary", {&x});
  check_float("unary", {&x});
  Tensor y(x.shape(), x.dtype(), x.device());
  TraceScope trace({"unary", name_of(op)}, backend, count(x), {&y, &x});
  trace.run(backend, &Backend::unary, y, x, op);
  return y;
}

Tensor unary_grad(Tensor dy, const Tensor& saved, UnaryOp op) {
  Backend& backend = same_device("unary_grad", {&dy, &saved});
  check_float("unary_grad", {&dy, &saved});
  check_same_shape("unary_grad", dy, saved);
  Tensor dx = reused(dy);
  TraceScope trace({"unary_grad", name_of(op)}, backend, count(dy), {&dx, &dy, &saved});
  trace.run(backend, &Backend::unary_grad, dx, dy, saved, op);
  return dx;
}

Tensor binary(const Tensor& a, const Tensor& b, BinaryOp op) {
  Backend& backend = same_device("binary", {&a, &b});
  check_float("binary", {&a, &b});
  check_same_shape("binary", a, b);
  Tensor y(a.shape(), a.dtype(), a.device());
  TraceScope trace({"binary", name_of(op)}, backend, count(a), {&y, &a, &b});
  trace.run(backend, &Backend::binary, y, a, b, op);
  return y;
}

Tensor dropout(const Tensor& x, const Tensor& draw, Rng rng, float p) {
  Backend& backend = same_device("dropout", {&x, &draw});
  check_float("dropout", {&x});
  check_dtype("dropout", draw, DType::i32);
  check_scalar("dropout", draw);
  check(p >= 0 && p < 1, "dropout", "the probability ", p, " is not in [0,1)");
  Tensor y(x.shape(), x.dtype(), x.device());
  TraceScope trace("dropout", backend, count(x), {&y, &x});
  trace.run(backend, &Backend::dropout, y, x, draw, rng, p);
  return y;
}

void add_to(Tensor& y, const Tensor& x) {
  Backend& backend = same_device("add_to", {&y, &x});
  check_same_shape("add_to", y, x);
  check_float("add_to", {&y, &x});
  TraceScope trace({"binary", name_of(BinaryOp::add)}, backend, count(y), {&y, &y, &x});
  trace.run(backend, &Backend::binary, y, y, x, BinaryOp::add);
}

Tensor binary_rows(const Tensor& x, const Tensor& v, BinaryOp op) {
  Backend& backend = same_device("binary_rows", {&x, &v});
  check_f32("binary_rows", {&x, &v});
  check(x.shape().rank() >= 1 && v.shape() == Shape{x.dim(-1)}, "binary_rows", "vector ", v.shape(),
        " does not match the rows of ", x.shape());
  Tensor y(x.shape(), DType::f32, x.device());
  TraceScope trace({"binary_rows", name_of(op)}, backend, count(x), {&y, &x, &v});
  Tensor y_rows = y.flat_rows();
  trace.run(backend, &Backend::binary_rows, y_rows, x.flat_rows(), v, op);
  return y;
}

Tensor scale_rows(const Tensor& x, const Tensor& s) {
  Backend& backend = same_device("scale_rows", {&x, &s});
  check_f32("scale_rows", {&x, &s});
  check_matrix("scale_rows", x);
  check(s.shape() == Shape{x.dim(0)}, "scale_rows", "factors ", s.shape(),
        " do not match the rows of ", x.shape());
  Tensor y(x.shape(), DType::f32, x.device());
  TraceScope trace("scale_rows", backend, count(x), {&y, &x, &s});
  trace.run(backend, &Backend::scale_rows, y, x, s);
  return y;
}

Tensor broadcast(const Tensor& s, Shape shape, float factor) {
  Backend& backend = same_device("broadcast", {&s});
  check_f32("broadcast", {&s});
  check_scalar("broadcast", s);
  Tensor y(shape, DType::f32, s.device());
  TraceScope trace("broadcast", backend, 0, {&y});
  trace.run(backend, &Backend::broadcast, y, s, factor);
  return y;
}

// --- layout ---

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  Backend& backend = same_device("permute", {&x});
  const int rank = x.shape().rank();
  check(static_cast<int>(axes.size()) == rank, "permute", axes.size(), " axes given for ",
        x.shape());
  int64_t extents[Shape::kMaxRank];
  unsigned seen = 0;
  int i = 0;
  for (int axis : axes) {
    check(axis >= 0 && axis < rank && !(seen >> axis & 1u), "permute",
          "axes are not a permutation of 0..", rank - 1, " (input ", x.shape(), ")");
    seen |= 1u << axis;
    extents[i++] = x.dim(axis);
  }
  Tensor y(Shape(std::span<const int64_t>(extents, rank)), x.dtype(), x.device());
  TraceScope trace("permute", backend, 0, {&y, &x});
  trace.run(backend, &Backend::permute, y, x, axes);
  return y;
}

Tensor slice(const Tensor& x, int64_t begin, int64_t end) {
  Backend& backend = same_device("slice", {&x});
  check_matrix("slice", x);
  check(0 <= begin && begin < end && end <= x.dim(1), "slice", "columns ", begin, "..", end,
        " are outside ", x.shape());
  Tensor y({x.dim(0), end - begin}, x.dtype(), x.device());
  TraceScope trace("slice", backend, 0, {&y, &x});
  trace.run(backend, &Backend::slice, y, x, begin);
  return y;
}

namespace {

// The shape of matrices joined along an axis; they must agree along the other one.
Shape joined_shape(const char* op, const std::vector<Tensor>& parts, int axis) {
  check(!parts.empty(), op, "nothing to join");
  const int other = 1 - axis;
  int64_t extent = 0;
  for (const Tensor& part : parts) {
    same_device(op, {&parts[0], &part});
    check_dtype(op, part, parts[0].dtype());
    check_matrix(op, part);
    check(part.dim(other) == parts[0].dim(other), op, other == 0 ? "rows" : "columns",
          " differ: ", parts[0].shape(), " and ", part.shape());
    extent += part.dim(axis);
  }
  return axis == 0 ? Shape{extent, parts[0].dim(1)} : Shape{parts[0].dim(0), extent};
}

}  // namespace

Tensor concat(const std::vector<Tensor>& parts) {
  const Shape joined = joined_shape("concat", parts, 1);
  Tensor y(joined, parts[0].dtype(), parts[0].device());
  TraceScope trace("concat", y.backend(), 0, {&y});
  trace.run(y.backend(), &Backend::concat, y, parts);
  return y;
}

Tensor concat_rows(const std::vector<Tensor>& parts) {
  const Shape joined = joined_shape("concat_rows", parts, 0);
  Tensor y(joined, parts[0].dtype(), parts[0].device());
  int64_t at = 0;
  for (const Tensor& part : parts) {
    Tensor place = y.rows(at, at + part.dim(0));
    copy(place, part);
    at += part.dim(0);
  }
  return y;
}

// --- reductions ---

Tensor sum(const Tensor& x, float factor) {
  Backend& backend = same_device("sum", {&x});
  check_f32("sum", {&x});
  Tensor y({1}, DType::f32, x.device());
  TraceScope trace("sum", backend, count(x), {&x});
  trace.run(backend, &Backend::sum, y, x, factor);
  return y;
}

Tensor sum_of_squares(const Tensor& x) {
  Backend& backend = same_device("sum_of_squares", {&x});
  check_f32("sum_of_squares", {&x});
  Tensor y({1}, DType::f32, x.device());
  TraceScope trace("sum_of_squares", backend, 2 * count(x), {&x});
  trace.run(backend, &Backend::sum_of_squares, y, x);
  return y;
}

Tensor sum_axis0(const Tensor& x) {
  Backend& backend = same_device("sum_axis0", {&x});
  check_float("sum_axis0", {&x});
  check_matrix("sum_axis0", x);
  Tensor y({x.dim(1)}, DType::f32, x.device());
  TraceScope trace("sum_axis0", backend, count(x), {&x});
  trace.run(backend, &Backend::sum_axis0, y, x);
  return y;
}

BiasReluGrad bias_relu_grad(Tensor dy, Tensor skip, const Tensor& y) {
  check(skip.defined() || y.defined(), "bias_relu_grad", "needs a skip or a y");
  for (const Tensor* t : {&std::as_const(skip), &y}) {
    if (!t->defined()) continue;
    same_device("bias_relu_grad", {&dy, t});
    check_float("bias_relu_grad", {&dy, t});
    check_same_shape("bias_relu_grad", dy, *t);
  }
  const auto rows = [](const Tensor& t) { return t.defined() ? t.flat_rows() : t; };
  const Shape shape = dy.shape();
  Tensor dbias({dy.dim(-1)}, DType::f32, dy.device());
  Tensor dz = (skip.defined() && skip.unshared() ? skip : reused(dy)).flat_rows();
  const double flops = (1.0 + skip.defined() + y.defined()) * count(dy);
  TraceScope trace("bias_relu_grad", dy.backend(), flops, {&dz, &dy, &skip, &y});
  trace.run(dy.backend(), &Backend::bias_relu_grad, dz, dbias, rows(dy), rows(skip), rows(y));
  return {dz.reshape(shape), dbias};
}

Tensor sum_axis1(const Tensor& x) {
  Backend& backend = same_device("sum_axis1", {&x});
  check_f32("sum_axis1", {&x});
  check_matrix("sum_axis1", x);
  Tensor y({x.dim(0)}, DType::f32, x.device());
  TraceScope trace("sum_axis1", backend, count(x), {&x});
  trace.run(backend, &Backend::sum_axis1, y, x);
  return y;
}

Tensor mse(const Tensor& a, const Tensor& b) {
  Backend& backend = same_device("mse", {&a, &b});
  check_f32("mse", {&a, &b});
  check_same_shape("mse", a, b);
  check(a.numel() > 0, "mse", "the mean over no elements is undefined");
  Tensor y({1}, DType::f32, a.device());
  TraceScope trace("mse", backend, 3 * count(a), {&a, &b});
  trace.run(backend, &Backend::mse, y, a, b);
  return y;
}

Tensor mse_grad(const Tensor& dy, const Tensor& a, const Tensor& b) {
  Backend& backend = same_device("mse_grad", {&dy, &a, &b});
  check_f32("mse_grad", {&dy, &a, &b});
  check_same_shape("mse_grad", a, b);
  check_scalar("mse_grad", dy);
  Tensor da(a.shape(), DType::f32, a.device());
  TraceScope trace("mse_grad", backend, 2 * count(a), {&da, &a, &b});
  trace.run(backend, &Backend::mse_grad, da, dy, a, b);
  return da;
}

}  // namespace versor::ops
