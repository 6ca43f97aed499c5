// Codebook: start, EMA, dead codes. See codebook.h.
#include "vq/codebook.h"

#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/estimators.h"
#include "vq/ops.h"

namespace versor {
namespace {

enum Purpose : uint64_t { kWeights, kStart, kDeadCodes };

// `count` of the rows [M,D] in random order, which starts over after M rows.
Tensor pick_rows(const Tensor& data, int64_t count, Rng rng) {
  check(data.shape().rank() == 2 && data.dim(0) > 0, "kmeans", "needs rows [M,D], got ",
        data.shape());
  const int64_t M = data.dim(0);
  std::vector<int32_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    rows[i] =
        static_cast<int32_t>(rng.permute(static_cast<uint32_t>(i % M), static_cast<uint32_t>(M)));
  return ops::gather_rows(data, Tensor::from(rows, {count}, data.device()));
}

Tensor unit_rows(const Tensor& x) {
  return normalize_rows(Variable(x)).value();
}

bool is_weight(double x) {
  return x >= 0 && std::isfinite(x);
}

void check_options(const CodebookOptions& o) {
  check(o.codes > 0, "codebook", "the number of codes must be positive, got ", o.codes);
  check(o.latent > 0, "codebook", "the latent size must be positive, got ", o.latent);
  check(o.decay >= 0 && o.decay <= 1, "codebook", "decay ", o.decay, " is outside 0..1");
  check(o.dead_code_fraction >= 0 && o.dead_code_fraction <= 1, "codebook", "dead-code fraction ",
        o.dead_code_fraction, " is outside 0..1");
  check(is_weight(o.soft_em) && is_weight(o.orthogonality) && is_weight(o.diversity), "codebook",
        "the temperature of soft EM and the weights of losses must be numbers >= 0");
  check(o.diversity_temperature > 0 && std::isfinite(o.diversity_temperature), "codebook",
        "the temperature of the diversity loss must be above 0");
  check(o.soft_em == 0 || o.learning == CodebookLearning::ema, "codebook",
        "soft EM is a way to update by moving averages: the owner must be ema");
  check(o.orthogonality == 0 || o.learning != CodebookLearning::ema, "codebook",
        "the orthogonality loss reaches the codes by its gradient, which a codebook that moving "
        "averages own does not have: the owner must be gradient");
}

}  // namespace

Codebook::Codebook(const CodebookOptions& options, Rng rng, Device device)
    : options_(options), rng_(rng) {
  check_options(options);
  const Shape shape{options.codes, options.latent};
  const float bound = 1.f / static_cast<float>(options.codes);
  Tensor start = ops::uniform(shape, rng.split(kWeights), -bound, bound, device);
  weight_ = options.learning == CodebookLearning::ema
                ? register_buffer("codebook.weight", start)
                : register_parameter("codebook.weight", start);
  cluster_size_ = register_buffer("ema_cluster_size", ops::zeros({options.codes}, device));
  m_ = register_buffer("ema_dw", ops::zeros(shape, device));
  updates_ = ops::zeros({1}, device, DType::i32);
  reset_accumulators();
}

void Codebook::reset_accumulators() {
  if (options_.accumulators == Accumulators::zero) {
    ops::fill(cluster_size_.mutable_value(), 0.f);
    ops::fill(m_.mutable_value(), 0.f);
  } else {
    ops::fill(cluster_size_.mutable_value(), 1.f);
    ops::copy(m_.mutable_value(), weight_.value());
  }
}

Variable Codebook::codes() const {
  return options_.cosine ? normalize_rows(weight_) : weight_;
}

Tensor Codebook::mean() const {
  const int64_t D = options_.latent;
  // What is added makes 0 / 0 a 0 and is rounded away beside any count.
  const Tensor count = ops::affine(ops::sum(cluster_size_.value()), 1.f, 1e-30f);
  const Tensor sums = ops::sum_axis0(m_.value()).reshape({D, 1});
  return ops::binary_rows(sums, count, BinaryOp::div).reshape({D});
}

void Codebook::start_from(const Tensor& latents) {
  const Tensor data = options_.cosine ? unit_rows(latents) : latents;
  ops::copy(weight_.mutable_value(),
            kmeans(data, options_.codes, 10, rng_.split(kStart), options_.cosine));
  reset_accumulators();
}

void Codebook::Statistics::add(const Statistics& other) {
  ops::add_to(sums, other.sums);
  counts = counts.dtype() == DType::i32 ? vq::sum_of_counts(counts, other.counts)
                                        : ops::add(counts, other.counts);
  if (candidates.defined()) ops::add_to(candidates, other.candidates);
}

void Codebook::Statistics::all_reduce(Communicator& communicator) {
  if (communicator.is_alone()) return;
  counts = ops::clone(counts);  // the pass keeps those of its part
  communicator.all_reduce(counts);
  communicator.all_reduce(sums);
  if (candidates.defined()) communicator.all_reduce(candidates);
}

Codebook::Statistics Codebook::statistics(const Tensor& e, const Tensor& index,
                                          const Tensor& counts) const {
  RowPart whole;
  whole.total = e.dim(0);
  return statistics(e, index, counts, whole);
}

Codebook::Statistics Codebook::statistics(const Tensor& e, const Tensor& index,
                                          const Tensor& counts, const RowPart& rows) const {
  const NoGradGuard no_grad;
  const int64_t K = options_.codes;
  const Tensor own = rows.is_empty ? e.rows(0, 0) : e;
  Tensor candidates;
  if (options_.dead_code_fraction > 0)
    candidates = vq::draw_rows(own, std::min(K, rows.total), rows.first, rows.total, updates_,
                               rng_.split(kDeadCodes));
  const Variable c = codes();
  if (options_.soft_em == 0)
    return {counts,
            rows.is_empty ? ops::zeros(c.shape(), e.device()) : ops::segment_sum(e, index, K),
            candidates};
  Statistics sum{ops::zeros({K}, e.device()), ops::zeros(c.shape(), e.device()), candidates};
  for_row_tiles(own.dim(0), K, [&](int64_t begin, int64_t end) {
    const Tensor z = own.rows(begin, end);
    const Tensor p = ops::softmax(code_logits(Variable(z), c, options_.soft_em).value());
    ops::add_to(sum.counts, ops::sum_axis0(p));
    ops::add_to(sum.sums, ops::matmul(p, z, /*transpose_a=*/true));
  });
  return sum;
}

Tensor Codebook::update(const Statistics& statistics, const Tensor& guard) {
  if (!needs_statistics()) return {};
  // Codes trained by gradients alone still need N, which shows the dead ones: the averages are
  // updated, and the codes that they give are discarded.
  const bool averages = options_.learning != CodebookLearning::gradient;
  Tensor codes = averages ? weight_.value() : ops::clone(weight_.value());
  vq::ema_update(codes, cluster_size_.mutable_value(), m_.mutable_value(), statistics.counts,
                 statistics.sums, guard, options_.decay, options_.eps, options_.cosine);
  Tensor replaced;
  if (options_.dead_code_fraction > 0)
    replaced = vq::replace_dead_codes(weight_.mutable_value(), cluster_size_.mutable_value(),
                                      m_.mutable_value(), statistics.candidates, guard,
                                      options_.dead_code_fraction);
  ops::increment(updates_);
  return replaced;
}

Tensor kmeans(const Tensor& data, int64_t codes, int iterations, Rng rng, bool cosine) {
  return kmeans_from(pick_rows(data, codes, rng), data, iterations, rng, cosine);
}

Tensor kmeans_from(Tensor centres, const Tensor& data, int iterations, Rng rng, bool cosine) {
  const int64_t codes = centres.dim(0), D = data.dim(1);
  for (int i = 0; i < iterations; ++i) {
    const Tensor index = vq::nearest_code(data, centres);
    const auto counts = ops::bincount(index, codes).to_vector<int32_t>();
    auto means = ops::segment_sum(data, index, codes).to_vector<float>();
    const auto spare =
        pick_rows(data, codes, rng.split(static_cast<uint64_t>(i + 1))).to_vector<float>();
    for (int64_t k = 0; k < codes; ++k)
      for (int64_t d = k * D; d < (k + 1) * D; ++d)
        means[d] = counts[k] > 0 ? means[d] / static_cast<float>(counts[k]) : spare[d];
    centres = Tensor::from(means, {codes, D}, data.device());
    if (cosine) centres = unit_rows(centres);
  }
  return centres;
}

}  // namespace versor
