// Autoregressive priors over an image's symbols s_1 .. s_T (symbol_sequence.h):
//   p(s | class) = product over t of p(s_t | s_1 .. s_{t-1}, class)
// Of two levels the top one comes first, so this is p(top) p(bottom | top), the two factors of
// VQ-VAE-2 (Razavi et al. 2019), in one network.
#pragma once

#include <deque>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "experiments/generate/symbol_sequence.h"
#include "nn/transformer.h"

namespace versor {

// What training, measuring and sampling need of a prior.
class Prior : public Module {
 public:
  const SymbolSequence& sequence() const { return sequence_; }
  int64_t no_class() const { return classes_; }  // as a label; the classes are 0 .. no_class() - 1

  // The logits of each level's symbols, [N*T_l,K_l], given all symbols before them. sequences i32
  // [N,T] on the host; labels: N numbers from 0 to no_class().
  virtual std::vector<Variable> operator()(const Tensor& sequences,
                                           const std::vector<int32_t>& labels) const = 0;
  // The mean of -log p over the symbols of each level, [1], in nats; and over all symbols.
  std::vector<Variable> losses(const Tensor& sequences, const std::vector<int32_t>& labels) const;
  Variable loss(const Tensor& sequences, const std::vector<int32_t>& labels) const;

  // Symbol after symbol of N images, for sampling.
  class Steps {
   public:
    virtual ~Steps() = default;
    // The logits [N,K] of the next symbol. `previous`: the symbols before it, or at the first place
    // the labels. Without gradients.
    virtual Tensor next(const std::vector<int32_t>& previous) = 0;
  };
  virtual std::unique_ptr<Steps> begin(int64_t images) const = 0;

  virtual nlohmann::ordered_json config() const = 0;  // the options of the network
  virtual std::vector<std::pair<std::string, Tensor>> counters() { return {}; }  // of Dropout

 protected:
  Prior(SymbolSequence sequence, int64_t classes)
      : sequence_(std::move(sequence)), classes_(classes) {}

 private:
  SymbolSequence sequence_;
  int64_t classes_;
};

struct PriorOptions {
  int64_t layers = 6, width = 256, heads = 8;
  int64_t classes = 0;  // that it can be conditioned on
  double dropout = 0.1;
};

// A decoder-only transformer (Vaswani et al. 2017; normalised as in Radford et al. 2019). Names of
// its tensors, with W the width:
//   start.weight       [classes+1,W]         input 0: the class; the last row for no class
//   tokens.weight      [V,W]                 input t: number offset + symbol of the symbol before
//   positions          [T,W]                 added to input t
//   blocks.I                                 TransformerBlock (nn/transformer.h), causal
//   norm.weight, bias  [W]                   LayerNorm of the last block's output
//   heads.l.weight     [K_l,W], bias [K_l]   logits of the symbols of level l
class TransformerPrior final : public Prior {
 public:
  TransformerPrior(SymbolSequence sequence, const PriorOptions& options, Rng rng, Device device);

  const PriorOptions& options() const { return options_; }
  std::vector<Variable> operator()(const Tensor& sequences,
                                   const std::vector<int32_t>& labels) const override;
  std::unique_ptr<Steps> begin(int64_t images) const override;  // keys and values are cached
  nlohmann::ordered_json config() const override;
  std::vector<std::pair<std::string, Tensor>> counters() override;

 private:
  class CachedSteps;

  PriorOptions options_;
  Device device_;
  Variable start_, tokens_, positions_;
  std::deque<TransformerBlock> blocks_;  // a deque, since modules stay where they are
  LayerNorm norm_;
  std::deque<Linear> heads_;
};

struct SamplingOptions {
  double temperature = 1;  // logits are divided by it; 0: the most probable symbol
  int64_t top_k = 0;       // only so many of the most probable symbols; 0: all
  // Only the most probable symbols whose probabilities together reach this (Holtzman et al. 2020).
  double top_p = 1;
  uint64_t seed = 1;
};

// Samples sequences i32 [N,T], one for each label. Image number n of a seed depends on no other
// image; `first` is the number of the first.
Tensor sample(const Prior& prior, const std::vector<int32_t>& labels,
              const SamplingOptions& options, int64_t first = 0);
// One symbol from logits [K]; u, uniform on [0,1), decides.
int32_t draw_symbol(std::span<const float> logits, const SamplingOptions& options, double u);

// The mean bits per symbol of each level, over all sequences: -log2 p of a prior that is set to
// evaluate.
std::vector<double> bits_per_symbol(const Prior& prior, const Tensor& sequences,
                                    const std::vector<int32_t>& labels);

// What load_prior() makes the network of.
nlohmann::ordered_json config_of(const Prior& prior);

// A trained prior (bin/prior): `path` is its folder or file.
struct LoadedPrior {
  std::unique_ptr<Prior> prior;
  std::string first_stage;  // fingerprint_of_weights() of the model whose symbols these are
};
LoadedPrior load_prior(const std::string& path, Device device);
// That of a model (a run's folder or a file). Throws Error if it was trained on another's symbols.
LoadedPrior load_prior(const std::string& path, Device device, const std::string& model);

}  // namespace versor
