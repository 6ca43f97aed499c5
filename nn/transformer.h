// Attention and the transformer's block (Vaswani et al. 2017), normalised before each part as in
// Radford et al. 2019, and with a condition as in Peebles and Xie 2023 (adaLN-Zero). N sequences, T
// places, W the width, H heads of W/H.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/normalization.h"

namespace versor {

// The keys and values of the places so far, for sequences that grow place by place; at first none.
struct KeyValueCache {
  Tensor keys, values;  // [H*N,length*W/H], of head h of sequence n in row h N + n; or undefined
  int64_t length = 0;
};

// y = proj(heads of softmax(q k^T / sqrt(W/H)) v side by side) with q, k, v = qkv(x) cut into
// three. Parameters qkv.weight [3W,W], qkv.bias, proj.weight [W,W], proj.bias.
class Attention final : public Module {
 public:
  // `causal`: a place sees only itself and those before it.
  Attention(int64_t width, int64_t heads, bool causal, Rng rng, Device device);
  Variable operator()(const Variable& x) const;  // [N,T,W] -> the same
  // The next place of N sequences: x [N,W] -> [N,W], the same numbers up to rounding. Appends to
  // the cache. Without gradients.
  Tensor next(const Tensor& x, KeyValueCache& cache) const;

 private:
  int64_t heads_;
  bool causal_;
  Linear qkv_, proj_;
};

struct TransformerOptions {
  int64_t width = 256, heads = 8;
  bool causal = false;
  double dropout = 0;  // of what each part adds, in training
  bool conditioned = false;
};

// x += dropout(attention(norm1(x))), then x += dropout(mlp(norm2(x))), mlp = 4W wide, GELU.
// Parameters norm1, attention, norm2, mlp.0, mlp.2.
// With a condition c [N,W]: s1, b1, g1, s2, b2, g2 = modulation(silu(c)), a Linear W -> 6W that
// starts at 0, and x += g1 attention(norm1(x) (1 + s1) + b1), x += g2 mlp(norm2(x) (1 + s2) + b2);
// so the block starts as the identity.
class TransformerBlock final : public Module {
 public:
  TransformerBlock(const TransformerOptions& options, Rng rng, Device device);
  Variable operator()(const Variable& x, const Variable& condition = {}) const;  // [N,T,W]
  // [N,W], see Attention; without dropout and condition.
  Tensor next(const Tensor& x, KeyValueCache& cache) const;
  std::vector<std::pair<std::string, Tensor>> counters();  // of Dropout

 private:
  TransformerOptions options_;
  LayerNorm norm1_, norm2_;
  Attention attention_;
  Sequential mlp_;
  std::unique_ptr<Linear> modulation_;
  Dropout dropout1_, dropout2_;
};

}  // namespace versor
