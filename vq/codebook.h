// The codebook: K vectors of length D and the statistics that move them.
// One of three owners moves it: the exponential moving average of the vectors assigned to each
// code (eq. 3-5), the gradient of the codebook loss, or both (as the published runs did).
#pragma once

#include "nn/module.h"
#include "tensor/rng.h"

namespace versor {

enum class Owner { ema, gradient, both };
enum class CodebookStart { uniform, kmeans };
enum class Accumulators { warm, zero };

struct CodebookOptions {
  int64_t codes = 1024;  // K
  int64_t latent = 256;  // D
  Owner owner = Owner::ema;
  CodebookStart start = CodebookStart::kmeans;
  Accumulators accumulators = Accumulators::warm;  // N = 1, m = c; or zero
  double decay = 0.99;                             // gamma
  double eps = 1e-5;
  double dead_code_fraction = 0.1;  // of uniform usage; 0 keeps dead codes
  bool ema_in_eval = false;         // the published runs' evaluation updates too
};

class Codebook : public Module {
 public:
  // Starts U(+-1/K); call start_from() before training where k-means is wanted.
  Codebook(const CodebookOptions& options, Rng rng, Device device);

  const CodebookOptions& options() const { return options_; }
  const Variable& weight() const { return weight_; }  // [K,D]

  // k-means start: 10 Lloyd iterations on `latents` [M,D]; then the accumulators anew.
  void start_from(const Tensor& latents);

  // While frozen, update() does nothing: for a look at a batch that must change nothing.
  void freeze(bool frozen) { frozen_ = frozen; }

  // After search and gather of one batch: EMA from its rows e [R,D] and their codes, then dead
  // codes replaced. Does nothing where the gradient alone owns the codebook, or once the guard
  // (FiniteGuard::state; none if undefined) has found something.
  // Returns how many codes were replaced (i32 [1]), undefined if none could be.
  Tensor update(const Tensor& e, const Tensor& index, const Tensor& counts,
                const Tensor& guard = {});

  // How many updates there have been (i32 [1] on the device): the random numbers of the next one
  // follow from it.
  Tensor& update_counter() { return updates_; }

 private:
  void reset_accumulators();

  CodebookOptions options_;
  bool frozen_ = false;
  Rng rng_;
  Tensor updates_;         // i32 [1]
  Variable weight_;        // [K,D] "codebook.weight"
  Variable cluster_size_;  // [K]   "ema_cluster_size", N
  Variable m_;             // [K,D] "ema_dw", m
};

// 10 iterations of Lloyd's algorithm from random distinct rows of data [M,D] -> centres [K,D]. An
// empty cluster takes a random data point. With fewer than K rows, rows repeat.
Tensor kmeans(const Tensor& data, int64_t codes, int iterations, Rng rng);

}  // namespace versor
