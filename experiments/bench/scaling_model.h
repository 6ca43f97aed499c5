// What a training step costs on many ranks: a model of few numbers, which are fitted to
// measurements on a few ranks and then say what many would do. experiments/SCALING.md derives the
// formulas. Seconds and bytes throughout.
#pragma once

#include <cstdint>
#include <span>

namespace versor {

// How a sum over n ranks travels. Every way moves 2 (n-1)/n of the bytes out of each rank; they
// differ in the number of rounds that wait for one another: blocks 2 (ours over MPI), a ring
// 2 (n-1), a tree 2 log2 n (NCCL has both).
enum class SumBy { blocks, ring, tree };
double rounds_of(SumBy by, int64_t ranks);

// The network as one rank sees it: the latency of a round, and the bytes per second that it sends.
struct Link {
  double latency = 0, bandwidth = 0;
};
// 0 for one rank.
double all_reduce_seconds(double bytes, int64_t ranks, const Link& link, SumBy by);

// Computing on a batch of b images takes fixed + per_image * b.
struct ComputeCost {
  double fixed = 0, per_image = 0;
  double seconds(double images) const { return fixed + per_image * images; }
};

struct StepCost {
  ComputeCost compute;
  double backward_share = 0;    // of the compute: the time in which gradients may travel
  double gradient_bytes = 0;    // summed in buckets while backward runs
  double bucket_bytes = 0;      // of the last one, which travels when backward is over
  double statistics_bytes = 0;  // of the codebook, summed while nothing is computed
  double waits = 0;             // sums of a few bytes that are waited for
};

struct StepTime {
  double compute = 0, gradients = 0, statistics = 0, waits = 0;  // each by itself
  double hidden = 0;  // of the gradients' time, behind backward
  double total() const { return compute + gradients + statistics + waits - hidden; }
};
// `overlap`: the share of the backward pass that communication can use, 0 to 1. It is about 1 where
// something else than the computing cores moves the bytes, and 0 where these are busy.
StepTime predict(const StepCost& cost, double images_per_rank, int64_t ranks, const Link& link,
                 SumBy by, double overlap);

// A measurement at size x: images of a step, or bytes of a sum.
struct Timed {
  double x = 0, seconds = 0;
};
// Least squares of the relative errors, with neither coefficient below 0. One measurement gives a
// cost in proportion. Throws Error if there is none.
ComputeCost fit_compute(std::span<const Timed> steps);
// The same for the sums of `ranks` >= 2 ranks.
Link fit_link(std::span<const Timed> sums, int64_t ranks, SumBy by);

// The gradient noise scale in images, from the mean squared norms of the gradients of two batch
// sizes: McCandlish et al., "An Empirical Model of Large-Batch Training" (2018), appendix A.1. It
// is that of equation 2.9 there: the trace of the covariance of one image's gradient over the
// squared norm of the true gradient.
struct NoiseScale {
  double gradient_norm2 = 0, covariance_trace = 0;
  double images() const { return covariance_trace / gradient_norm2; }
};
NoiseScale noise_scale(double small_batch, double small_norm2, double large_batch,
                       double large_norm2);
// Steps to a given loss with batches of so many images, relative to the least number, which an
// infinite batch would need (equation 2.11): 1 + noise / batch.
double relative_steps(double batch, double noise);

// Bytes that leave a rank in a step for a codebook of K codes of D numbers, with batches of R
// latents over all ranks: its statistics if every rank has all of it, or latents, distances and
// codes if each rank has K / n of it.
double replicated_codebook_bytes(double codes, double latent, int64_t ranks);
double sharded_codebook_bytes(double rows, double latent, int64_t ranks);

}  // namespace versor
