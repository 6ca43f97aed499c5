// The codebook: K codes, vectors of D numbers, and the statistics that update them.
// The codes are learned in one of three ways: as exponential moving averages of the vectors
// assigned to them (eq. 3-5), by the gradient of the codebook loss, or by both (as in the published
// runs).
#pragma once

#include "nn/module.h"
#include "tensor/rng.h"
#include "vq/batch_part.h"

namespace versor {

// What updates the codes (--owner): moving averages, the codebook loss's gradient, or both in turn.
enum class CodebookLearning { ema, gradient, both };
enum class CodebookStart { uniform, kmeans };
enum class Accumulators { warm, zero };

struct CodebookOptions {
  int64_t codes = 1024;  // K
  int64_t latent = 256;  // D
  CodebookLearning learning = CodebookLearning::ema;
  CodebookStart start = CodebookStart::kmeans;
  Accumulators accumulators = Accumulators::warm;  // N = 1, m = c; or zero
  double decay = 0.99;                             // gamma
  double eps = 1e-5;
  double dead_code_fraction = 0.1;  // of uniform usage; 0 keeps dead codes

  // Codes and vectors are normalised to length 1 before they are compared and passed on: the
  // nearest code is the one with the largest cosine (Yu et al., "Vector-quantized Image Modeling
  // with Improved VQGAN", 2022).
  bool cosine = false;
  // Temperature t of soft EM, which assigns every vector to all codes with weights
  // p = softmax(-|e - c|^2 / t):  n_k = sum over r of p_rk,  s_k = sum over r of p_rk e_r.  With 0
  // a vector counts for its nearest code alone. Roy et al., "Theory and Experiments on Vector
  // Quantized Autoencoders" (2018), with the expectation in place of their samples.
  double soft_em = 0;
  // Weights of two further losses; 0 leaves a loss out. The first keeps codes that are trained by
  // gradients orthogonal (Shin et al. 2021), the second favours even use of the codes within a
  // batch. The formulas are in vq/losses.h.
  double orthogonality = 0, diversity = 0;
  // In units of squared distance: high enough that unused codes get a share of the probability, low
  // enough that the probabilities tell codes apart.
  double diversity_temperature = 0.1;

  // Whether N and m follow the vectors: they do not if codes are trained by gradients alone and
  // dead codes are kept.
  bool keeps_averages() const {
    return learning != CodebookLearning::gradient || dead_code_fraction > 0;
  }
};

class Codebook : public Module {
 public:
  // What an update needs to know about the vectors that were quantized. The statistics of the parts
  // of a batch, micro-batches or processes, add up to those of the batch.
  struct Statistics {
    Tensor counts;      // i32 [K], or f32 with soft EM
    Tensor sums;        // [K,D]
    Tensor candidates;  // [C,D] for dead codes, C = min(K, rows); undefined if dead codes are kept

    void add(const Statistics& other);
    void all_reduce(Communicator& communicator);
  };

  // Initialises the codes with U(+-1/K); for a k-means start, call start_from() before training.
  // Throws Error for options that are out of range or contradict each other.
  Codebook(const CodebookOptions& options, Rng rng, Device device);

  const CodebookOptions& options() const { return options_; }
  const Variable& weight() const { return weight_; }  // [K,D]
  // What vectors are compared with: the weight, with rows of length 1 if options().cosine.
  Variable codes() const;

  // The running mean of the quantized vectors, [D]: sum of m / sum of N over the codes. With s and
  // n the sum and number of a batch's vectors, sum m and sum N are moving averages of s and n, so
  // that this needs no state of its own. Warm accumulators count each first code as a vector, and a
  // replaced code counts as the vectors that it would have had under uniform use. 0 as long as
  // nothing has been counted.
  Tensor mean() const;

  // k-means start: 10 Lloyd iterations on `latents` [M,D]; then resets the accumulators.
  void start_from(const Tensor& latents);

  // Whether update() does anything.
  bool needs_statistics() const { return options_.keeps_averages(); }
  // The statistics of rows e [R,D], all of the batch or a part of its rows, with their codes: index
  // i32 [R], counts i32 [K]. The candidates for dead codes are random rows of the whole batch, 0
  // where e does not have the row.
  Statistics statistics(const Tensor& e, const Tensor& index, const Tensor& counts) const;
  Statistics statistics(const Tensor& e, const Tensor& index, const Tensor& counts,
                        const RowPart& rows) const;
  // EMA update from the statistics; then each dead code becomes a candidate. If the codes are
  // trained by gradients alone, only dead ones change.
  // Does nothing once the guard (FiniteGuard::state; none if undefined) has found something.
  // Returns the number of replaced codes (i32 [1]), undefined if codes are never replaced.
  Tensor update(const Statistics& statistics, const Tensor& guard = {});

  // The number of updates so far (i32 [1] on the device), which selects the random numbers of the
  // next one.
  const Tensor& update_counter() const { return updates_; }

 private:
  void reset_accumulators();

  CodebookOptions options_;
  Rng rng_;
  Tensor updates_;         // i32 [1]
  Variable weight_;        // [K,D] "codebook.weight"
  Variable cluster_size_;  // [K]   "ema_cluster_size", N
  Variable m_;             // [K,D] "ema_dw", m
};

// Lloyd's algorithm, starting from random distinct rows of data [M,D] -> centres [K,D]. An empty
// cluster takes a random data point. With fewer than K rows, rows repeat. `cosine`: the data have
// length 1, and so do the centres (spherical k-means).
Tensor kmeans(const Tensor& data, int64_t codes, int iterations, Rng rng, bool cosine = false);
// The same from given centres [K,D].
Tensor kmeans_from(Tensor centres, const Tensor& data, int iterations, Rng rng,
                   bool cosine = false);

}  // namespace versor
