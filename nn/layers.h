// Layers: convolution, transposed convolution, residual block, linear, embedding, activations,
// pooling, and a sequence of them; those that normalise or drop are in normalization.h.
// Images are [N,H,W,C], weights as in backend.h. Only files have PyTorch's shapes (safetensors.h).
#pragma once

#include <memory>

#include "autograd/functions.h"
#include "nn/module.h"
#include "tensor/rng.h"

namespace versor {

// A module that maps one Variable to one.
class Layer : public Module {
 public:
  virtual Variable operator()(const Variable& x) const = 0;
};

struct ConvOptions {
  int64_t in, out, kernel;
  int64_t stride = 1, padding = 0;
  Activation activation = Activation::none;
};

// y = act(conv(x, weight) + bias).   [N,H,W,in] -> [N,H',W',out]
class Conv2d final : public Layer {
 public:
  Conv2d(const ConvOptions& options, Rng rng, Device device);
  Variable operator()(const Variable& x) const override;
  // y = act(conv(x, weight) + bias + residual).   residual [N,H',W',out] or undefined
  Variable operator()(const Variable& x, const Variable& residual) const;

 private:
  ConvOptions options_;
  Variable weight_;  // [out,k,k,in]
  Variable bias_;    // [out]
};

// y = act(conv_transpose(x, weight) + bias).   [N,H,W,in] -> [N,(H-1)s-2p+k,(W-1)s-2p+k,out]
class ConvTranspose2d final : public Layer {
 public:
  ConvTranspose2d(const ConvOptions& options, Rng rng, Device device);
  Variable operator()(const Variable& x) const override;

 private:
  ConvOptions options_;
  Variable weight_;  // [in,k,k,out]
  Variable bias_;    // [out]
};

// y = relu(conv2(relu(conv1(x))) + shortcut(x)) with 3x3 convolutions. The shortcut is x itself, or
// a 1x1 convolution "proj" where the channels differ.
class ResidualBlock final : public Layer {
 public:
  ResidualBlock(int64_t in, int64_t out, Rng rng, Device device);
  Variable operator()(const Variable& x) const override;

 private:
  Conv2d conv1_, conv2_;
  std::unique_ptr<Conv2d> proj_;  // null where in == out
};

// y = x weight^T + bias.   [...,in] -> [...,out]
class Linear final : public Layer {
 public:
  Linear(int64_t in, int64_t out, Rng rng, Device device);
  Variable operator()(const Variable& x) const override;

 private:
  Variable weight_;  // [out,in]
  Variable bias_;    // [out]
};

// Row index[i] of a table for every index, the table drawn from N(0,1).   i32 [...] -> [...,size]
class Embedding final : public Module {
 public:
  Embedding(int64_t count, int64_t size, Rng rng, Device device);
  Variable operator()(const Tensor& index) const;

 private:
  Variable weight_;  // [count,size]
};

// A function of one Variable as a layer.
template <Variable (*function)(const Variable&)>
class FunctionLayer final : public Layer {
 public:
  Variable operator()(const Variable& x) const override { return function(x); }
};
using Relu = FunctionLayer<relu>;
using Gelu = FunctionLayer<gelu>;
using Silu = FunctionLayer<silu>;
using Sigmoid = FunctionLayer<sigmoid>;
using Tanh = FunctionLayer<tanh>;
// [N,...] -> [N,D]. Images are [N,H,W,C], so that a Linear after it has its columns in another
// order than PyTorch's, which flattens [N,C,H,W].
Variable flatten(const Variable& x);
using Flatten = FunctionLayer<flatten>;
// The mean over all pixels, [N,H,W,C] -> [N,C], as PyTorch's AdaptiveAvgPool2d(1) and Flatten.
Variable global_avg_pool2d(const Variable& x);
using GlobalAvgPool2d = FunctionLayer<global_avg_pool2d>;

// max_pool2d and avg_pool2d as layers.
template <Variable (*function)(const Variable&, int64_t)>
class PoolLayer final : public Layer {
 public:
  explicit PoolLayer(int64_t kernel) : kernel_(kernel) {}
  Variable operator()(const Variable& x) const override { return function(x, kernel_); }

 private:
  int64_t kernel_;
};
using MaxPool2d = PoolLayer<max_pool2d>;
using AvgPool2d = PoolLayer<avg_pool2d>;

// Layers in sequence, each added under a name. PyTorch also numbers its ReLUs, which are fused
// here; so the names have gaps: "0", "2", "4".
class Sequential final : public Layer {
 public:
  template <class T, class... Arguments>
  void add(std::string name, Arguments&&... arguments) {
    layers_.push_back(std::make_unique<T>(std::forward<Arguments>(arguments)...));
    register_module(std::move(name), *layers_.back());
  }
  Variable operator()(const Variable& x) const override {
    Variable y = x;
    for (const auto& layer : layers_) y = (*layer)(y);
    return y;
  }

 private:
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace versor
