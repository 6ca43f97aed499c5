// A quantizer replaces each row e of the encoder's output by one of finitely many vectors, named by
// symbols. This is the interface that all quantizers share and that the model uses; how each one
// works stands in its own file:
//   vector_quantizer.h  nearest code of a learned codebook (the paper's)
//   fsq.h, lfq.h        fixed grids: finite scalar, lookup-free, binary spherical quantization
//   simvq.h             a frozen codebook under a learned linear map
//   residual.h, grouped.h, projected.h    made of other quantizers
//   family.h            makes any of them from options
// A forward pass changes nothing; update() moves what is not moved by gradients, from what one or
// several passes saw. A training step calls it after backward() and before the optimiser:
//   Quantized out = quantizer(e, /*training=*/true);
//   backward(loss of out);
//   quantizer.update({out});
//   adam.step();
// R rows, D latent size, L symbols per row, K values of a symbol. A row costs L log2(K) bits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "nn/module.h"

namespace versor {

// How a forward pass is made.
struct ForwardPass {
  ForwardPass(bool training_, int64_t number_ = 0) : training(training_), number(number_) {}

  bool training;
  // Its number among the passes since the last update: each draws random numbers of its own.
  int64_t number;
};

// What one batch of R encoder vectors gave.
struct Quantized {
  Variable value;            // [R,D] what the decoder gets
  Tensor index;              // i32 [L,R] the symbols; -1 where a symbol was left out
  Tensor counts;             // i32 [L,K] how often each was used
  Variable codebook_loss;    // [1] mse(sg[e], q); undefined: none
  Variable commitment_loss;  // [1] mse(e, sg[q]); undefined: none
  Variable auxiliary_loss;   // [1] other terms with their weights; undefined: none
  // For statistics. The vectors that were quantized and what they became; they are shorter than D
  // where a projection lies before.
  Tensor input, codes;  // [R,d]
  Tensor error;         // [1] mse(input, codes)
  // For update().
  ForwardPass pass = false;      // that made it
  std::vector<Quantized> parts;  // of a quantizer made of others: what each use of a part gave
};

// What a row is named by: so many symbols, each one of so many codes.
struct Vocabulary {
  Vocabulary(int64_t codes_) : codes(codes_) {}  // of a single symbol
  Vocabulary(int64_t symbols_, int64_t codes_) : symbols(symbols_), codes(codes_) {}

  int64_t symbols = 1;  // L
  int64_t codes;        // K
};

class Quantizer : public Module {
 public:
  // e [R,D].
  virtual Quantized operator()(const Variable& e, ForwardPass pass) const = 0;
  // The vectors that symbols stand for: i32 [L,R] -> [R,D]. The value that the decoder gets in
  // evaluation, bit for bit; but `published` and `rotation_unscaled` give it the length of e, which
  // no symbol knows.
  virtual Tensor decode(const Tensor& index) const = 0;
  virtual Vocabulary vocabulary() const = 0;

  // The rest is for quantizers that need it.

  // How many latents start_from() wants before the first step; 0: it needs none.
  virtual int64_t start_rows() const { return 0; }
  virtual void start_from(const Tensor& latents) { (void)latents; }  // [M,D]
  // One update from the passes since the last one: a batch, or its micro-batches. Where the guard
  // (FiniteGuard::state; none if undefined) has found something, only counters move.
  // Returns how many dead codes were replaced (i32 [1]), undefined if none could be.
  virtual Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {}) {
    (void)passes, (void)guard;
    return {};
  }
  // Counters on the device that a checkpoint must hold beside parameters and buffers.
  virtual std::vector<std::pair<std::string, Tensor>> counters() const { return {}; }
  // Whether a step can be captured once and replayed: not where the host decides anew each time.
  virtual bool capturable() const { return true; }
};

// For quantizers that draw. Their counter, i32 [1] on the device so that a captured step can be
// replayed, is the number of the next draw: a pass draws with counter + pass.number, and an update
// advances the counter beyond its passes of training.
Tensor draw_number(const Tensor& counter, ForwardPass pass);
void count_draws(Tensor& counter, const std::vector<Quantized>& passes);

using QuantizerPointer = std::unique_ptr<Quantizer>;
// Makes the parts of composed quantizers: number of the part -> quantizer.
using MakeQuantizer = std::function<QuantizerPointer(int64_t part)>;

}  // namespace versor
