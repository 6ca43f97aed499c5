// Attention and the transformer's block: see transformer.h.
#include "nn/transformer.h"

#include <cmath>

#include "tensor/ops.h"

namespace versor {
namespace {

// Row n of each matrix [N,...] as a column of places: [N,W] -> [N,1,W], for all places alike.
Variable for_all_places(const Variable& x) {
  return reshape(x, {x.shape()[0], 1, x.shape()[1]});
}

}  // namespace

Attention::Attention(int64_t width, int64_t heads, bool causal, Rng rng, Device device)
    : heads_(heads),
      causal_(causal),
      qkv_(width, 3 * width, rng.split(0), device),
      proj_(width, width, rng.split(1), device) {
  check(heads > 0 && width % heads == 0, "attention", "a width of ", width,
        " is not a multiple of ", heads, " heads");
  register_module("qkv", qkv_);
  register_module("proj", proj_);
}

Variable Attention::operator()(const Variable& x) const {
  return proj_(attention(qkv_(x), heads_, causal_));
}

// Head h of sequence n is matrix h N + n of a batch.
Tensor Attention::next(const Tensor& x, KeyValueCache& cache) const {
  const NoGradGuard no_grad;
  const int64_t N = x.dim(0), W = x.dim(1), H = heads_, D = W / H;
  const Tensor qkv = qkv_(Variable(x)).value();
  const Tensor all = ops::permute(qkv.reshape({N, 3 * H, D}), {1, 0, 2});
  const auto part = [&](int i) { return all.rows(i * H, (i + 1) * H).reshape({H * N, D}); };
  const auto append = [](Tensor& before, const Tensor& row) {
    before = before.defined() ? ops::concat({before, row}) : row;
  };
  append(cache.keys, part(1));
  append(cache.values, part(2));
  const Shape places{H * N, ++cache.length, D};
  const Tensor q = ops::scaled(part(0), 1.f / std::sqrt(static_cast<float>(D)));
  const Tensor p =
      ops::softmax(ops::matmul(q.reshape({H * N, 1, D}), cache.keys.reshape(places), false, true));
  const Tensor y = ops::matmul(p, cache.values.reshape(places)).reshape({H, N, D});
  return proj_(Variable(ops::permute(y, {1, 0, 2}).reshape({N, W}))).value();
}

TransformerBlock::TransformerBlock(const TransformerOptions& o, Rng rng, Device device)
    : options_(o),
      norm1_(o.width, device),
      norm2_(o.width, device),
      attention_(o.width, o.heads, o.causal, rng.split(0), device),
      dropout1_(static_cast<float>(o.dropout), rng.split(4), device),
      dropout2_(static_cast<float>(o.dropout), rng.split(5), device) {
  mlp_.add<Linear>("0", o.width, 4 * o.width, rng.split(1), device);
  mlp_.add<Gelu>("1");
  mlp_.add<Linear>("2", 4 * o.width, o.width, rng.split(2), device);
  register_module("norm1", norm1_);
  register_module("attention", attention_);
  register_module("norm2", norm2_);
  register_module("mlp", mlp_);
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
  if (!o.conditioned) return;
  modulation_ = std::make_unique<Linear>(o.width, 6 * o.width, rng.split(3), device);
  register_module("modulation", *modulation_);
  for (Variable p : modulation_->parameters()) ops::fill(p.mutable_value(), 0.f);
}

Variable TransformerBlock::operator()(const Variable& x, const Variable& condition) const {
  check(condition.defined() == options_.conditioned, "transformer block",
        options_.conditioned ? "needs a condition" : "has no use for a condition");
  if (!options_.conditioned) {
    const Variable y = x + dropout1_(attention_(norm1_(x)));
    return y + dropout2_(mlp_(norm2_(y)));
  }
  const Variable all = (*modulation_)(silu(condition));
  const auto part = [&](int64_t i) {
    return for_all_places(slice(all, i * options_.width, (i + 1) * options_.width));
  };
  const auto modulated = [&](const Variable& y, int64_t i) {
    return y * add_scalar(part(i), 1.f) + part(i + 1);
  };
  const Variable y = x + part(2) * dropout1_(attention_(modulated(norm1_(x), 0)));
  return y + part(5) * dropout2_(mlp_(modulated(norm2_(y), 3)));
}

Tensor TransformerBlock::next(const Tensor& x, KeyValueCache& cache) const {
  check(!options_.conditioned, "transformer block", "one with a condition has no next place");
  const NoGradGuard no_grad;
  const Tensor y = ops::add(x, attention_.next(norm1_(Variable(x)).value(), cache));
  return ops::add(y, mlp_(norm2_(Variable(y))).value());
}

std::vector<std::pair<std::string, Tensor>> TransformerBlock::counters() {
  return {{"dropout1", dropout1_.counter()}, {"dropout2", dropout2_.counter()}};
}

}  // namespace versor
