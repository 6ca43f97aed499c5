// The checked front end of what optimisers do: see ops.h.
#include "tensor/optimizer.h"

#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::ops {
namespace {

void check_flat(const char* op, const Tensor& flat) {
  check_f32(op, {&flat});
  check(flat.shape().rank() == 1, op, "needs flat buffers [P], got ", flat.shape());
}

// The gradient of each part, and its place in a flat buffer like `flat`.
void check_gradients(const char* op, const Tensor& flat, const std::vector<ParameterPart>& parts) {
  for (const ParameterPart& part : parts) {
    same_device(op, {&flat, &part.grad});
    check_f32(op, {&part.grad});
    check(0 <= part.offset && part.offset + part.grad.numel() <= flat.numel(), op, "a gradient ",
          part.grad.shape(), " at ", part.offset, " is outside the flat buffer ", flat.shape());
  }
}

void check_values(const char* op, const std::vector<ParameterPart>& parts) {
  for (const ParameterPart& part : parts) {
    same_device(op, {&part.grad, &part.value});
    check_f32(op, {&part.value});
    check_same_shape(op, part.value, part.grad);
  }
}

void check_step(const char* op, const Tensor& step) {
  check_dtype(op, step, DType::i32);
  check_scalar(op, step);
}

double elements(const std::vector<ParameterPart>& parts) {
  double n = 0;
  for (const ParameterPart& part : parts) n += count(part.grad);
  return n;
}

}  // namespace

void adam(Tensor& m, Tensor& v, const std::vector<ParameterPart>& parts, const Tensor& step,
          const Tensor& counts, const Tensor& guard, const AdamParams& params) {
  Backend& backend = same_device("adam", {&m, &v, &step, &counts});
  check_flat("adam", m);
  check_flat("adam", v);
  check_same_shape("adam", m, v);
  check_step("adam", step);
  check_dtype("adam", counts, DType::i32);
  check_guard("adam", guard, m);
  check_gradients("adam", m, parts);
  check_values("adam", parts);
  for (const ParameterPart& part : parts)
    check(0 <= part.index && part.index < counts.numel(), "adam", "parameter ", part.index,
          " has no count among ", counts.shape());
  // m appears twice: it stands for the values too, which are as many.
  TraceScope trace("adam", backend, 12 * elements(parts), {&m, &m, &v});
  trace.run(backend, &Backend::adam, m, v, parts, step, counts, guard, params);
}

void sgd(Tensor& velocity, const std::vector<ParameterPart>& parts, const Tensor& step,
         const Tensor& guard, const SgdParams& params) {
  Backend& backend = same_device("sgd", {&step});
  check_step("sgd", step);
  check_guard("sgd", guard, step);
  check(velocity.defined() || params.momentum == 0, "sgd", "a momentum needs a velocity");
  if (velocity.defined()) {
    check_flat("sgd", velocity);
    check_gradients("sgd", velocity, parts);
  }
  check_values("sgd", parts);
  TraceScope trace("sgd", backend, 6 * elements(parts), {});
  trace.run(backend, &Backend::sgd, velocity, parts, step, guard, params);
}

void gather_gradients(Tensor& flat, const std::vector<ParameterPart>& parts) {
  Backend& backend = same_device("gather_gradients", {&flat});
  check_flat("gather_gradients", flat);
  check_gradients("gather_gradients", flat, parts);
  TraceScope trace("gather_gradients", backend, 0, {&flat, &flat});
  trace.run(backend, &Backend::gather_gradients, flat, parts);
}

void clip(Tensor& x, const Tensor& norm, float max_norm) {
  Backend& backend = same_device("clip", {&x, &norm});
  check_f32("clip", {&x, &norm});
  check_scalar("clip", norm);
  TraceScope trace("clip", backend, count(x), {&x, &x});
  trace.run(backend, &Backend::clip, x, norm, max_norm);
}

}  // namespace versor::ops
