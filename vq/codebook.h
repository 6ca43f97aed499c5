// The codebook: K vectors of length D and the statistics that move them.
// One of three owners moves it: the exponential moving average of the vectors assigned to each
// code (eq. 3-5), the gradient of the codebook loss, or both (as the published runs did).
#pragma once

#include "nn/module.h"
#include "tensor/rng.h"

namespace versor {

// What moves the codes (--owner): moving averages, the codebook loss's gradient, or both in turn.
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

  // Codes and vectors are compared and passed on at length 1: the nearest code is the one with the
  // largest cosine (Yu et al., "Vector-quantized Image Modeling with
  // Improved VQGAN", 2022).
  bool cosine = false;
  // Temperature t of soft EM: every vector counts for all codes, n_k = sum over r of p_rk and
  // s_k = sum over r of p_rk e_r with p = softmax(-|e - c|^2 / t); 0: for its nearest code alone.
  // Roy et al., "Theory and Experiments on Vector Quantized Autoencoders" (2018), with the
  // expectation in place of their samples.
  double soft_em = 0;
  // Weights of further losses, 0: none. Orthogonality of the codes, for a gradient owner (Shin et
  // al. 2021), and evenness of use within a batch; formulas in vq/losses.h.
  double orthogonality = 0, diversity = 0;
  // Of the diversity loss, in units of squared distance: soft enough that unused codes are felt,
  // hard enough that codes differ.
  double diversity_temperature = 0.1;
};

class Codebook : public Module {
 public:
  // What an update needs of the vectors that were quantized. Statistics of micro-batches add up,
  // and so do those of several machines.
  struct Statistics {
    Tensor counts;             // i32 [K], or f32 with soft EM
    Tensor sums;               // [K,D]
    std::vector<Tensor> rows;  // [R_i,D] that dead codes may become; none where those are kept

    void add(const Statistics& other);
  };

  // Starts U(+-1/K); call start_from() before training where k-means is wanted. Throws Error for
  // options outside their ranges or that contradict each other.
  Codebook(const CodebookOptions& options, Rng rng, Device device);

  const CodebookOptions& options() const { return options_; }
  const Variable& weight() const { return weight_; }  // [K,D]
  // What vectors are compared with: the weight, its rows at length 1 where cosine.
  Variable codes() const;

  // k-means start: 10 Lloyd iterations on `latents` [M,D]; then the accumulators anew.
  void start_from(const Tensor& latents);

  // Whether an update does anything: not where gradients alone move the codes and dead ones are
  // kept.
  bool needs_statistics() const;
  // Of rows e [R,D] and their codes: index i32 [R], counts i32 [K].
  Statistics statistics(const Tensor& e, const Tensor& index, const Tensor& counts) const;
  // EMA from the statistics, then dead codes become some of the rows. Where gradients alone move
  // the codes, only dead ones change.
  // Does nothing once the guard (FiniteGuard::state; none if undefined) has found something.
  // Returns how many codes were replaced (i32 [1]), undefined if none could be.
  Tensor update(const Statistics& statistics, const Tensor& guard = {});

  // How many updates there have been (i32 [1] on the device): the random numbers of the next one
  // follow from it.
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

// 10 iterations of Lloyd's algorithm from random distinct rows of data [M,D] -> centres [K,D]. An
// empty cluster takes a random data point. With fewer than K rows, rows repeat. `cosine`: the data
// have length 1, and so have the centres (spherical k-means).
Tensor kmeans(const Tensor& data, int64_t codes, int iterations, Rng rng, bool cosine = false);
// The same from given centres [K,D].
Tensor kmeans_from(Tensor centres, const Tensor& data, int iterations, Rng rng,
                   bool cosine = false);

}  // namespace versor
