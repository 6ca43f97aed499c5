// What a training step costs on many ranks: see scaling_model.h.
#include "experiments/bench/scaling_model.h"

#include <algorithm>
#include <bit>

#include "tensor/checks.h"

namespace versor {
namespace {

constexpr double kFloat = 4, kIndex = 4;  // bytes

// The part of x that leaves a rank in either half of a sum over n ranks.
double share_of(int64_t ranks) {
  return static_cast<double>(ranks - 1) / static_cast<double>(ranks);
}

// seconds = a + b x, with the least sum of ((a + b x - seconds) / seconds)^2 where a, b >= 0.
ComputeCost fit(std::span<const Timed> measured) {
  check(!measured.empty(), "scaling", "there is nothing to fit");
  double w = 0, wx = 0, wxx = 0, wy = 0, wxy = 0;
  for (const Timed& m : measured) {
    check(m.seconds > 0 && m.x >= 0, "scaling", "a size of ", m.x, " cannot take ", m.seconds,
          " s");
    const double weight = 1 / (m.seconds * m.seconds);
    w += weight;
    wx += weight * m.x;
    wxx += weight * m.x * m.x;
    wy += weight * m.seconds;
    wxy += weight * m.x * m.seconds;
  }
  const double determinant = w * wxx - wx * wx;
  const ComputeCost proportional{0, wxx > 0 ? wxy / wxx : 0}, constant{wy / w, 0};
  if (determinant <= 1e-12 * w * wxx) return wxx > 0 ? proportional : constant;
  const ComputeCost both{(wxx * wy - wx * wxy) / determinant, (w * wxy - wx * wy) / determinant};
  if (both.fixed < 0) return proportional;
  return both.per_image < 0 ? constant : both;
}

}  // namespace

double rounds_of(SumBy by, int64_t ranks) {
  if (ranks <= 1) return 0;
  if (by == SumBy::blocks) return 2;
  if (by == SumBy::ring) return 2 * static_cast<double>(ranks - 1);
  return 2 * static_cast<double>(std::bit_width(static_cast<uint64_t>(ranks - 1)));
}

double all_reduce_seconds(double bytes, int64_t ranks, const Link& link, SumBy by) {
  if (ranks <= 1) return 0;
  return rounds_of(by, ranks) * link.latency + 2 * share_of(ranks) * bytes / link.bandwidth;
}

StepTime predict(const StepCost& cost, double images_per_rank, int64_t ranks, const Link& link,
                 SumBy by, double overlap) {
  StepTime time;
  time.compute = cost.compute.seconds(images_per_rank);
  if (ranks <= 1) return time;
  const double bucket = std::min(cost.bucket_bytes, cost.gradient_bytes);
  const double buckets = bucket > 0 ? cost.gradient_bytes / bucket : 0;
  // buckets follow one another without waiting, so only the first round's latency shows
  time.gradients = buckets > 0 ? all_reduce_seconds(cost.gradient_bytes, ranks, link, by) : 0;
  const double last = buckets > 0 ? all_reduce_seconds(bucket, ranks, link, by) : 0;
  time.statistics =
      cost.statistics_bytes > 0 ? all_reduce_seconds(cost.statistics_bytes, ranks, link, by) : 0;
  time.waits = cost.waits * all_reduce_seconds(0, ranks, link, by);
  time.hidden =
      std::max(0.0, std::min(time.gradients - last, overlap * cost.backward_share * time.compute));
  return time;
}

ComputeCost fit_compute(std::span<const Timed> steps) {
  return fit(steps);
}

Link fit_link(std::span<const Timed> sums, int64_t ranks, SumBy by) {
  check(ranks >= 2, "scaling", "sums over ", ranks, " ranks say nothing about a network");
  const ComputeCost line = fit(sums);
  check(line.per_image > 0, "scaling", "sums that take no longer when they are larger");
  return {line.fixed / rounds_of(by, ranks), 2 * share_of(ranks) / line.per_image};
}

NoiseScale noise_scale(double small_batch, double small_norm2, double large_batch,
                       double large_norm2) {
  check(0 < small_batch && small_batch < large_batch, "noise_scale", "needs two batch sizes, not ",
        small_batch, " and ", large_batch);
  return {(large_batch * large_norm2 - small_batch * small_norm2) / (large_batch - small_batch),
          (small_norm2 - large_norm2) / (1 / small_batch - 1 / large_batch)};
}

double relative_steps(double batch, double noise) {
  return 1 + noise / batch;
}

double replicated_codebook_bytes(double codes, double latent, int64_t ranks) {
  return 2 * share_of(ranks) * kFloat * codes * (latent + 1);
}

// Each rank sends its share of the latents to all others (as all do, it also receives theirs, and a
// ring passes all on but one share), the least distance and its code of each row to the rank that
// has the row, and the codes that were found to the ranks whose rows have them: at most all rows.
double sharded_codebook_bytes(double rows, double latent, int64_t ranks) {
  const double latents = rows * latent * kFloat, found = rows * (kFloat + kIndex);
  return share_of(ranks) * (latents + found + latents / static_cast<double>(ranks));
}

}  // namespace versor
