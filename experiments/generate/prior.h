// An autoregressive prior over an image's symbols s_1 .. s_T (symbol_sequence.h):
//   p(s | class) = product over t of p(s_t | s_1 .. s_{t-1}, class)
// by a decoder-only transformer (Vaswani et al. 2017; the order of normalisation is that of Radford
// et al. 2019). Of two levels the top one comes first, so this is p(top) p(bottom | top), the
// factors of VQ-VAE-2 (Razavi et al. 2019), in one network. Names of the tensors, W the width:
//   start.weight       [classes+1,W]   the first input: the class; the last row for no class
//   tokens.weight      [V,W]           input t > 0: number offset + symbol of the symbol before
//   positions          [T,W]           added to input t
//   blocks.I           TransformerBlock of nn/transformer.h, causal
//   norm.weight, bias  [W]             LayerNorm of the last block's output
//   heads.l.weight     [K_l,W], bias [K_l]   logits of the symbols of level l
#pragma once

#include <deque>
#include <optional>

#include "experiments/generate/symbol_sequence.h"
#include "nn/transformer.h"

namespace versor {

struct PriorOptions {
  int64_t layers = 6, width = 256, heads = 8;
  int64_t classes = 0;  // that it can be conditioned on
  double dropout = 0.1;
};

class Prior final : public Module {
 public:
  Prior(SymbolSequence sequence, const PriorOptions& options, Rng rng, Device device);

  const SymbolSequence& sequence() const { return sequence_; }
  const PriorOptions& options() const { return options_; }
  int64_t no_class() const { return options_.classes; }  // as a label

  // The logits of each level's symbols, [N*T_l,K_l], given all symbols before them. sequences i32
  // [N,T], labels i32 [N], 0 to classes (no_class()); both on the device.
  std::vector<Variable> operator()(const Tensor& sequences, const Tensor& labels) const;
  // The mean over symbols of -log p, [1], in nats.
  Variable loss(const Tensor& sequences, const Tensor& labels) const;

  // For sampling, symbol by symbol: keys and values of what came before.
  struct State {
    std::vector<KeyValueCache> caches;  // of the blocks
    int64_t place = 0;
  };
  State begin(int64_t images) const;
  // The logits [N,K] of the symbol at state.place. `previous`: the symbols before it, i32 [N], or at
  // the first place the labels.
  Tensor next(State& state, const Tensor& previous) const;

  std::vector<std::pair<std::string, Tensor>> counters();  // of Dropout

 private:
  SymbolSequence sequence_;
  PriorOptions options_;
  std::optional<Embedding> start_, tokens_;
  Variable positions_;
  std::deque<TransformerBlock> blocks_;
  std::optional<LayerNorm> norm_;
  std::deque<Linear> heads_;
};

}  // namespace versor
