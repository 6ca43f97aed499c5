// Front end of the primitives that pick, add up and count rows by index: see ops.h and backend.h.
#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {
namespace {

// The number of a batch, i32 [1] beside the images, may be undefined. Returns the place of its
// first image where the host can know it, on the CPU, else 0.
int64_t check_batch(const char* who, const Tensor& batch, const Tensor& images, int64_t batch_size,
                    int64_t number, int64_t places) {
  if (!batch.defined()) return 0;
  same_device(who, {&images, &batch});
  check_dtype(who, batch, DType::i32);
  check_scalar(who, batch);
  if (batch.device().type != DeviceType::cpu) return 0;
  const int64_t which = batch.data<int32_t>()[0], first = which * batch_size;
  check(0 <= first && first + number <= places, who, "batch ", which, " of ", batch_size,
        " images is outside the ", places, " places");
  return first;
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  Backend& backend = same_device("gather_rows", {&x, &index});
  check_f32("gather_rows", {&x});
  check_dtype("gather_rows", index, DType::i32);
  check_matrix("gather_rows", x);
  check_indices("gather_rows", index, x.dim(0), "rows");
  Tensor y({index.numel(), x.dim(1)}, DType::f32, x.device());
  TraceScope trace("gather_rows", backend, 0, {&y, &index});
  trace.run(backend, &Backend::gather_rows, y, x, index);
  return y;
}

Tensor pick(const Tensor& x, const Tensor& index) {
  Backend& backend = check_choice("pick", x, index);
  Tensor y({x.dim(0)}, DType::f32, x.device());
  TraceScope trace("pick", backend, 0, {&y, &index});
  trace.run(backend, &Backend::pick, y, x, index);
  return y;
}

Tensor one_hot(const Tensor& index, int64_t classes) {
  same_device("one_hot", {&index});
  check(classes > 0, "one_hot", "there are no classes");
  Tensor y({index.numel(), classes}, DType::f32, index.device());
  Backend& backend = check_choice("one_hot", y, index);
  TraceScope trace("one_hot", backend, 0, {&y, &index});
  trace.run(backend, &Backend::one_hot, y, index);
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
  const int64_t first =
      check_batch("gather_images", batch, images, batch_size, number, order.numel());
  check_indices("gather_images", order.reshape({order.numel()}).rows(first, first + number),
                images.dim(0), "images");
  Tensor y({number, images.dim(1), images.dim(2), images.dim(3)}, DType::f32, images.device());
  TraceScope trace("gather_images", backend, 2 * count(y), {&y});
  trace.run(backend, &Backend::gather_images, y, images, order, batch, batch_size, scale, shift);
  return y;
}

Tensor move_images(const Tensor& x, const Tensor& moves, const Tensor& batch, int64_t batch_size) {
  Backend& backend = same_device("move_images", {&x, &moves});
  check_f32("move_images", {&x});
  check_dtype("move_images", moves, DType::i32);
  check(x.shape().rank() == 4, "move_images", "needs images [N,H,W,C], got ", x.shape());
  check(moves.shape().rank() == 2 && moves.dim(1) == 3, "move_images",
        "needs three numbers for each image, got ", moves.shape());
  check(x.dim(0) <= batch_size && x.dim(0) <= moves.dim(0), "move_images", x.dim(0),
        " images given, in batches of ", batch_size, " of ", moves.dim(0));
  check_batch("move_images", batch, x, batch_size, x.dim(0), moves.dim(0));
  Tensor y(x.shape(), DType::f32, x.device());
  TraceScope trace("move_images", backend, 0, {&y, &x});
  trace.run(backend, &Backend::move_images, y, x, moves, batch, batch_size);
  return y;
}

Tensor segment_sum(const Tensor& x, const Tensor& index, int64_t segments) {
  Backend& backend = same_device("segment_sum", {&x, &index});
  check_f32("segment_sum", {&x});
  check_dtype("segment_sum", index, DType::i32);
  check_matrix("segment_sum", x);
  check(index.numel() == x.dim(0) && segments > 0, "segment_sum", "index ", index.shape(),
        " does not match the rows of ", x.shape(), ", or there are no segments");
  check_indices("segment_sum", index, segments, "segments");
  Tensor y({segments, x.dim(1)}, DType::f32, x.device());
  TraceScope trace("segment_sum", backend, count(x), {&y, &x, &index});
  trace.run(backend, &Backend::segment_sum, y, x, index);
  return y;
}

Tensor bincount(const Tensor& index, int64_t segments) {
  Backend& backend = same_device("bincount", {&index});
  check_dtype("bincount", index, DType::i32);
  check(segments > 0, "bincount", "there are no segments to count");
  check_indices("bincount", index, segments, "segments");
  Tensor counts({segments}, DType::i32, index.device());
  TraceScope trace("bincount", backend, 0, {&counts, &index});
  trace.run(backend, &Backend::bincount, counts, index);
  return counts;
}

}  // namespace versor::ops
