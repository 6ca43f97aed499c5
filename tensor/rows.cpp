// Front end of the primitives that pick, add up and count rows by index: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  Backend& backend = same_device("gather_rows", {&x, &index});
  check_f32("gather_rows", {&x});
  check_dtype("gather_rows", index, DType::i32);
  check_matrix("gather_rows", x);
  Tensor y({index.numel(), x.dim(1)}, DType::f32, x.device());
  TraceScope trace("gather_rows", backend, 0, {&y, &index});
  backend.gather_rows(y, x, index);
  return y;
}

Tensor gather_images(const Tensor& images, const Tensor& order, const Tensor& batch,
                     int64_t batch_size, int64_t number, float scale, float shift) {
  Backend& backend = same_device("gather_images", {&images, &order});
  check_dtype("gather_images", images, DType::u8);
  check_dtype("gather_images", order, DType::i32);
  check(images.shape().rank() == 4 && images.dim(0) > 0, "gather_images",
        "needs images [M,H,W,C], got ", images.shape());
  check(0 <= number && number <= batch_size && number <= order.numel(), "gather_images", number,
        " images asked for, in batches of ", batch_size, " of ", order.numel());
  if (batch.defined()) {
    same_device("gather_images", {&images, &batch});
    check_dtype("gather_images", batch, DType::i32);
    check_scalar("gather_images", batch);
  }
  Tensor y({number, images.dim(1), images.dim(2), images.dim(3)}, DType::f32, images.device());
  TraceScope trace("gather_images", backend, 2 * count(y), {&y});
  backend.gather_images(y, images, order, batch, batch_size, scale, shift);
  return y;
}

Tensor segment_sum(const Tensor& x, const Tensor& index, int64_t segments) {
  Backend& backend = same_device("segment_sum", {&x, &index});
  check_f32("segment_sum", {&x});
  check_dtype("segment_sum", index, DType::i32);
  check_matrix("segment_sum", x);
  check(index.numel() == x.dim(0) && segments > 0, "segment_sum", "index ", index.shape(),
        " does not match the rows of ", x.shape(), ", or there are no segments");
  Tensor y({segments, x.dim(1)}, DType::f32, x.device());
  TraceScope trace("segment_sum", backend, count(x), {&y, &x, &index});
  backend.segment_sum(y, x, index);
  return y;
}

Tensor bincount(const Tensor& index, int64_t segments) {
  Backend& backend = same_device("bincount", {&index});
  check_dtype("bincount", index, DType::i32);
  check(segments > 0, "bincount", "there are no segments to count");
  Tensor counts({segments}, DType::i32, index.device());
  TraceScope trace("bincount", backend, 0, {&counts, &index});
  backend.bincount(counts, index);
  return counts;
}

}  // namespace versor::ops
