// Front end of group normalisation: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {
namespace {

void check_images(const char* op, const Tensor& x, const Tensor& weight) {
  check(x.shape().rank() == 4 && x.dim(1) * x.dim(2) * x.dim(3) > 0, op,
        "needs images [N,H,W,C], got ", x.shape());
  check_dtype(op, weight, DType::f32);
  check(weight.shape() == Shape{x.dim(3)}, op, "weight ", weight.shape(), " does not match the ",
        x.dim(3), " channels");
}

}  // namespace

GroupNorm group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                     float eps) {
  Backend& backend = same_device("group_norm", {&x, &weight, &bias});
  check_float("group_norm", {&x});
  check_images("group_norm", x, weight);
  check_dtype("group_norm", bias, DType::f32);
  check_same_shape("group_norm", weight, bias);
  check(groups >= 1 && x.dim(3) % groups == 0, "group_norm", x.dim(3),
        " channels cannot be cut into ", groups, " groups");
  check(eps >= 0, "group_norm", "eps ", eps, " is negative");
  Tensor y(x.shape(), x.dtype(), x.device());
  Tensor statistics({2, x.dim(0), groups}, DType::f32, x.device());
  TraceScope trace("group_norm", backend, 7 * count(x), {&y, &x});
  trace.run(backend, &Backend::group_norm, y, statistics, x, weight, bias, eps);
  return {y, statistics};
}

Tensor group_norm_sums(const Tensor& dy, const Tensor& x, const Tensor& statistics) {
  Backend& backend = same_device("group_norm_sums", {&dy, &x, &statistics});
  check_float("group_norm_sums", {&dy, &x});
  check_same_shape("group_norm_sums", dy, x);
  Tensor sums({2, x.dim(0), x.dim(3)}, DType::f32, x.device());
  TraceScope trace("group_norm_sums", backend, 5 * count(x), {&dy, &x});
  trace.run(backend, &Backend::group_norm_sums, sums, dy, x, statistics);
  return sums;
}

Tensor group_norm_grad(Tensor dy, const Tensor& x, const Tensor& weight, const Tensor& statistics,
                       const Tensor& sums) {
  Backend& backend = same_device("group_norm_grad", {&dy, &x, &weight, &statistics, &sums});
  check_float("group_norm_grad", {&dy, &x});
  check_same_shape("group_norm_grad", dy, x);
  check_images("group_norm_grad", x, weight);
  Tensor dx = reused(dy);
  TraceScope trace("group_norm_grad", backend, 7 * count(x), {&dx, &dy, &x});
  trace.run(backend, &Backend::group_norm_grad, dx, dy, x, weight, statistics, sums);
  return dx;
}

}  // namespace versor::ops
