// Front end of the quantizer's kernels: see ops.h.
#include "vq/ops.h"

#include <limits>

#include "tensor/checks.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor::vq {
namespace {

using ops::check_dtype;
using ops::check_f32;
using ops::check_matrix;
using ops::check_same_shape;
using ops::same_device;

void check_rows(const char* op, const Tensor& e, const Tensor& q) {
  same_device(op, {&e, &q});
  check_f32(op, {&e, &q});
  check_matrix(op, e);
  check_same_shape(op, e, q);
}

void check_codebook(const char* op, const Tensor& codebook, const Tensor& cluster_size,
                    const Tensor& m) {
  same_device(op, {&codebook, &cluster_size, &m});
  check_f32(op, {&codebook, &cluster_size, &m});
  check_matrix(op, codebook);
  check_same_shape(op, codebook, m);
  check(cluster_size.shape() == Shape{codebook.dim(0)}, op, "cluster sizes ", cluster_size.shape(),
        " do not match the codebook ", codebook.shape());
}

}  // namespace

Tensor nearest_code(const Tensor& e, const Tensor& codebook) {
  same_device("nearest_code", {&e, &codebook});
  check_f32("nearest_code", {&e, &codebook});
  check_matrix("nearest_code", e);
  check_matrix("nearest_code", codebook);
  check(e.dim(1) == codebook.dim(1) && codebook.dim(0) > 0, "nearest_code", "vectors ", e.shape(),
        " do not match the codebook ", codebook.shape());
  Tensor index({e.dim(0)}, DType::i32, e.device());
  const double flops = 2.0 * static_cast<double>(e.numel()) * static_cast<double>(codebook.dim(0));
  TraceScope trace("nearest_code", e.backend(), flops, {&e, &codebook});
  trace.run(vq_backend_for(e.device()), &VqBackend::nearest_code, index, e, codebook);
  return index;
}

Tensor sign_code(const Tensor& z) {
  check_f32("sign_code", {&z});
  check_matrix("sign_code", z);
  check(z.dim(1) >= 1 && z.dim(1) <= 16, "sign_code", "needs 1 to 16 columns, got ", z.shape());
  Tensor index({z.dim(0)}, DType::i32, z.device());
  TraceScope trace("sign_code", z.backend(), 0, {&index, &z});
  trace.run(vq_backend_for(z.device()), &VqBackend::sign_code, index, z);
  return index;
}

Tensor grid_code(const Tensor& z, const Tensor& grid, const Tensor& levels) {
  same_device("grid_code", {&z, &grid, &levels});
  check_f32("grid_code", {&z, &grid});
  check_matrix("grid_code", z);
  check_matrix("grid_code", grid);
  check_dtype("grid_code", levels, DType::i32);
  check(z.dim(1) == grid.dim(1) && levels.shape() == Shape{grid.dim(1)}, "grid_code", "vectors ",
        z.shape(), " and levels ", levels.shape(), " do not match the grid ", grid.shape());
  Tensor index({z.dim(0)}, DType::i32, z.device());
  TraceScope trace("grid_code", z.backend(), 0, {&index, &z});
  trace.run(vq_backend_for(z.device()), &VqBackend::grid_code, index, z, grid, levels);
  return index;
}

void add_noise(Tensor& x, Noise noise, float scale, const Tensor& draw, Rng rng) {
  same_device("add_noise", {&x, &draw});
  check_f32("add_noise", {&x});
  check_dtype("add_noise", draw, DType::i32);
  ops::check_scalar("add_noise", draw);
  TraceScope trace("add_noise", x.backend(), 0, {&x, &x});
  trace.run(vq_backend_for(x.device()), &VqBackend::add_noise, x, noise, scale, draw, rng);
}

Tensor estimator_grad(Tensor dy, const Tensor& e, const Tensor& q, Estimator estimator) {
  check_rows("estimator_grad", e, q);
  check_rows("estimator_grad", dy, e);
  Tensor de = ops::reused(dy);
  TraceScope trace("estimator_grad", e.backend(), 0, {&de, &dy, &e, &q});
  trace.run(vq_backend_for(e.device()), &VqBackend::estimator_grad, de, dy, e, q, estimator);
  return de;
}

Tensor unscaled_value(const Tensor& e, const Tensor& q, Estimator estimator) {
  check_rows("unscaled_value", e, q);
  check(!passes_code(estimator), "unscaled_value", "this estimator passes the code itself");
  Tensor y(e.shape(), DType::f32, e.device());
  TraceScope trace("unscaled_value", e.backend(), 0, {&y, &e, &q});
  trace.run(vq_backend_for(e.device()), &VqBackend::unscaled_value, y, e, q, estimator);
  return y;
}

Tensor geometry(const Tensor& e, const Tensor& q) {
  check_rows("geometry", e, q);
  check(e.dim(0) > 0, "geometry", "there are no rows");
  Tensor stats({4}, DType::f32, e.device());
  TraceScope trace("geometry", e.backend(), 0, {&e, &q});
  trace.run(vq_backend_for(e.device()), &VqBackend::geometry, stats, e, q);
  return stats;
}

void ema_update(Tensor& codebook, Tensor& cluster_size, Tensor& m, const Tensor& counts,
                const Tensor& sums, const Tensor& guard, double decay, double eps,
                bool unit_length) {
  check_codebook("ema_update", codebook, cluster_size, m);
  same_device("ema_update", {&codebook, &counts, &sums});
  check(counts.dtype() == DType::i32 || counts.dtype() == DType::f32, "ema_update",
        "counts must be i32 or f32, got ", counts.dtype());
  check_same_shape("ema_update", cluster_size, counts);
  check_same_shape("ema_update", m, sums);
  ops::check_guard("ema_update", guard, codebook);
  check(decay >= 0 && decay <= 1, "ema_update", "decay ", decay, " is outside 0..1");
  TraceScope trace("ema_update", codebook.backend(), 0, {&codebook, &m, &sums});
  trace.run(vq_backend_for(codebook.device()), &VqBackend::ema_update, codebook, cluster_size, m,
            counts, sums, guard, decay, eps, unit_length);
}

Tensor draw_rows(const Tensor& e, int64_t count, int64_t first, int64_t total, const Tensor& draw,
                 Rng rng) {
  same_device("draw_rows", {&e, &draw});
  check_f32("draw_rows", {&e});
  check_matrix("draw_rows", e);
  check_dtype("draw_rows", draw, DType::i32);
  ops::check_scalar("draw_rows", draw);
  check(0 <= count && count <= total && total <= std::numeric_limits<int32_t>::max(), "draw_rows",
        "cannot draw ", count, " distinct rows of ", total);
  check(0 <= first && first + e.dim(0) <= total, "draw_rows", "rows ", e.shape(), " from row ",
        first, " on are not within ", total);
  Tensor y({count, e.dim(1)}, DType::f32, e.device());
  TraceScope trace("draw_rows", e.backend(), 0, {&y});
  trace.run(vq_backend_for(e.device()), &VqBackend::draw_rows, y, e, first, total, draw, rng);
  return y;
}

Tensor replace_dead_codes(Tensor& codebook, Tensor& cluster_size, Tensor& m,
                          const Tensor& candidates, const Tensor& guard, double fraction) {
  check_codebook("replace_dead_codes", codebook, cluster_size, m);
  same_device("replace_dead_codes", {&codebook, &candidates});
  ops::check_guard("replace_dead_codes", guard, codebook);
  check_f32("replace_dead_codes", {&candidates});
  check_matrix("replace_dead_codes", candidates);
  check(candidates.dim(1) == codebook.dim(1) && candidates.dim(0) > 0, "replace_dead_codes",
        "vectors ", candidates.shape(), " do not match the codebook ", codebook.shape());
  Tensor replaced({1}, DType::i32, codebook.device());
  TraceScope trace("replace_dead_codes", codebook.backend(), 0, {&cluster_size});
  trace.run(vq_backend_for(codebook.device()), &VqBackend::replace_dead_codes, codebook,
            cluster_size, m, replaced, candidates, guard, fraction);
  return replaced;
}

Tensor sum_of_counts(const Tensor& a, const Tensor& b) {
  Tensor y(a.shape(), DType::i32, a.device());
  ops::copy(y, a);
  ops::add_counts(y, b);
  return y;
}

Tensor perplexity(const Tensor& counts) {
  check_dtype("perplexity", counts, DType::i32);
  check(counts.shape().rank() <= 2, "perplexity", "needs counts [K] or [L,K], got ",
        counts.shape());
  const Tensor of_symbols =
      counts.shape().rank() == 2 ? counts : counts.reshape({1, counts.numel()});
  Tensor y({1}, DType::f32, counts.device());
  TraceScope trace("perplexity", counts.backend(), 0, {&counts});
  trace.run(vq_backend_for(counts.device()), &VqBackend::perplexity, y, of_symbols);
  return y;
}

}  // namespace versor::vq
