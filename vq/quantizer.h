// A quantizer replaces each row e of the encoder's output by one of finitely many vectors, which
// are identified by symbols. This file is the interface that all quantizers implement and the model
// uses:
//   vector_quantizer.h  nearest code of a learned codebook (the paper's)
//   fsq.h, lfq.h        fixed grids: finite scalar, lookup-free, binary spherical quantization
//   simvq.h             a frozen codebook under a learned linear map
//   residual.h, grouped.h, projected.h    made of other quantizers
//   family.h            makes any of them from options
// A forward pass changes nothing. update() changes what gradients do not train, given the results
// of one or several passes. A training step calls it after backward() and before the optimiser:
//   Quantized out = quantizer(e, /*training=*/true);
//   backward(loss of out);
//   quantizer.update({out});
//   adam.step();
// R rows, D latent size, L symbols per row, K values per symbol. A row costs L log2(K) bits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "nn/module.h"
#include "vq/batch_part.h"

namespace versor {

// The circumstances of a forward pass.
struct ForwardPass {
  ForwardPass(bool training_, int64_t number_ = 0) : training(training_), number(number_) {}

  bool training;
  // Counts the uses of a quantizer in a step, so that each draws random numbers of its own.
  int64_t number;
  RowPart rows = {};            // the rows that e has, of those of the batch
  BatchMeans* means = nullptr;  // where e is a part of a batch
};

// The result for one batch of R encoder vectors.
struct Quantized {
  Variable value;            // [R,D] what the decoder gets
  Tensor index;              // i32 [L,R] the symbols; -1 where a symbol was left out
  Tensor counts;             // i32 [L,K] how often each code was used
  Variable codebook_loss;    // [1] mse(sg[e], q); undefined: none
  Variable commitment_loss;  // [1] mse(e, sg[q]); undefined: none
  Variable auxiliary_loss;   // [1] other terms with their weights; undefined: none
  // For statistics: the vectors that were quantized, and the codes that replaced them. Behind a
  // projection they are shorter than D.
  Tensor input, codes;  // [R,d]
  Tensor origin;        // [d] the point that the estimator turns about; undefined: 0
  Tensor error;         // [1] mse(input, codes)
  // For update().
  ForwardPass pass = false;      // the pass that this is the result of
  std::vector<Quantized> parts;  // of composed quantizers: the result of each use of a part
};

// A row is identified by L symbols, each with K possible codes.
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
  // The vectors that symbols stand for: i32 [L,R] -> [R,D]. They are what the decoder gets in
  // evaluation, bit for bit, except with `published` and `rotation_unscaled`: these scale the value
  // to the length of e, which the symbols do not carry.
  virtual Tensor decode(const Tensor& index) const = 0;
  virtual Vocabulary vocabulary() const = 0;

  // Quantizers override the rest if they need it.

  // How many latents start_from() needs before the first step; 0: it is not called.
  virtual int64_t start_rows() const { return 0; }
  virtual void start_from(const Tensor& latents) { (void)latents; }  // [M,D]
  // One update from the passes since the last one: a batch, or its micro-batches in this process;
  // the other processes have those of the rest. Once the guard (FiniteGuard::state; none if
  // undefined) has found something, only counters change. Returns the number of replaced codes (i32
  // [1]), undefined if codes are never replaced.
  virtual Tensor update(const std::vector<Quantized>& passes, const Tensor& guard = {},
                        Communicator& communicator = alone()) {
    (void)passes, (void)guard, (void)communicator;
    return {};
  }
  // Whether its loss is no mean over rows, so that a pass over a part of a batch needs BatchMeans.
  virtual bool needs_batch_means() const { return false; }
  // Counters on the device, which a checkpoint must hold besides parameters and buffers.
  virtual std::vector<std::pair<std::string, Tensor>> counters() const { return {}; }
  // Whether a step can be captured once and replayed: it cannot if the host decides something anew
  // in each step.
  virtual bool capturable() const { return true; }
};

// For quantizers that draw random numbers. Their counter, i32 [1] on the device so that a captured
// step can be replayed, is the number of the next draw: a pass draws with counter + pass.number,
// and an update advances the counter past the training passes that it was given.
Tensor draw_number(const Tensor& counter, ForwardPass pass);
void count_draws(Tensor& counter, const std::vector<Quantized>& passes);

using QuantizerPointer = std::unique_ptr<Quantizer>;
// Makes a part of a composed quantizer, given the number of the part.
using MakeQuantizer = std::function<QuantizerPointer(int64_t part)>;

}  // namespace versor
