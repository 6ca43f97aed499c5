// Codebook: start, EMA, dead codes. See codebook.h.
#include "vq/codebook.h"

#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {

enum Purpose : uint64_t { kWeights, kStart, kDeadCodes };

// Row number i of a random order of n rows; beyond n it starts again.
std::vector<int32_t> random_rows(int64_t count, int64_t n, Rng rng) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    rows[i] =
        static_cast<int32_t>(rng.permute(static_cast<uint32_t>(i % n), static_cast<uint32_t>(n)));
  return rows;
}

}  // namespace

Codebook::Codebook(const CodebookOptions& options, Rng rng, Device device)
    : options_(options), rng_(rng) {
  check(options.codes > 0, "codebook", "the number of codes must be positive, got ", options.codes);
  check(options.latent > 0, "codebook", "the latent size must be positive, got ", options.latent);
  check(options.decay >= 0 && options.decay <= 1, "codebook", "decay ", options.decay,
        " is outside 0..1");
  check(options.dead_code_fraction >= 0 && options.dead_code_fraction <= 1, "codebook",
        "dead-code fraction ", options.dead_code_fraction, " is outside 0..1");
  const Shape shape{options.codes, options.latent};
  const float bound = 1.f / static_cast<float>(options.codes);
  Tensor start = ops::uniform(shape, rng.split(kWeights), -bound, bound, device);
  weight_ = options.owner == Owner::ema ? register_buffer("codebook.weight", start)
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

void Codebook::start_from(const Tensor& latents) {
  ops::copy(weight_.mutable_value(), kmeans(latents, options_.codes, 10, rng_.split(kStart)));
  reset_accumulators();
}

Tensor Codebook::update(const Tensor& e, const Tensor& index, const Tensor& counts,
                        const Tensor& guard) {
  if (frozen_ || options_.owner == Owner::gradient) return {};
  const Tensor sums = ops::segment_sum(e, index, options_.codes);
  vq::ema_update(weight_.mutable_value(), cluster_size_.mutable_value(), m_.mutable_value(), counts,
                 sums, guard, options_.decay, options_.eps);
  Tensor replaced;
  if (options_.dead_code_fraction > 0)
    replaced = vq::replace_dead_codes(weight_.mutable_value(), cluster_size_.mutable_value(),
                                      m_.mutable_value(), e, updates_, guard,
                                      options_.dead_code_fraction, rng_.split(kDeadCodes));
  ops::increment(updates_);
  return replaced;
}

Tensor kmeans(const Tensor& data, int64_t codes, int iterations, Rng rng) {
  check(data.shape().rank() == 2 && data.dim(0) > 0, "kmeans", "needs rows [M,D], got ",
        data.shape());
  const int64_t M = data.dim(0), D = data.dim(1);
  const auto pick = [&](Rng from) {
    return ops::gather_rows(data,
                            Tensor::from(random_rows(codes, M, from), {codes}, data.device()));
  };
  Tensor centres = pick(rng);
  for (int i = 0; i < iterations; ++i) {
    const Tensor index = vq::nearest_code(data, centres);
    const auto counts = ops::bincount(index, codes).to_vector<int32_t>();
    auto means = ops::segment_sum(data, index, codes).to_vector<float>();
    const auto spare = pick(rng.split(static_cast<uint64_t>(i + 1))).to_vector<float>();
    for (int64_t k = 0; k < codes; ++k)
      for (int64_t d = k * D; d < (k + 1) * D; ++d)
        means[d] = counts[k] > 0 ? means[d] / static_cast<float>(counts[k]) : spare[d];
    centres = Tensor::from(means, {codes, D}, data.device());
  }
  return centres;
}

}  // namespace versor
