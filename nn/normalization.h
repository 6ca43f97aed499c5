// Layers that behave differently in training, and those that normalise. Names and initial values
// are PyTorch's: weight 1, bias 0.
#pragma once

#include "nn/layers.h"

namespace versor {

// Every row normalised by all its elements (Ba, Kiros and Hinton 2016).   [...,size] -> the same
class LayerNorm final : public Layer {
 public:
  LayerNorm(int64_t size, Device device, float eps = 1e-5f);
  Variable operator()(const Variable& x) const override;

 private:
  float eps_;
  Variable weight_, bias_;  // [size]
};

// Every image normalised by groups of channels (Wu and He 2018).   [N,H,W,channels] -> the same
class GroupNorm final : public Layer {
 public:
  GroupNorm(int64_t groups, int64_t channels, Device device, float eps = 1e-5f);
  Variable operator()(const Variable& x) const override;

 private:
  int64_t groups_;
  float eps_;
  Variable weight_, bias_;  // [channels]
};

// Every channel normalised by all pixels of the batch, in evaluation by averages of the training
// (Ioffe and Szegedy 2015).   [N,H,W,channels] -> the same; f32 in evaluation
class BatchNorm2d final : public Layer {
 public:
  BatchNorm2d(int64_t channels, Device device, float eps = 1e-5f, float momentum = 0.1f);
  // In training also moves the averages by `momentum` towards the batch's mean and unbiased
  // variance. Throws Error if there is only one pixel to normalise by.
  Variable operator()(const Variable& x) const override;

 private:
  void track(const Tensor& statistics, double pixels) const;

  float eps_, momentum_;
  Variable weight_, bias_;               // [channels]
  Variable running_mean_, running_var_;  // [channels], buffers
  Variable num_batches_tracked_;         // i32, a buffer
};

// In training each element becomes 0 with probability p, else x / (1 - p) (Srivastava et al. 2014);
// in evaluation nothing changes. Layers need streams of their own: Rng::split.
class Dropout final : public Layer {
 public:
  Dropout(float p, Rng rng, Device device);
  Variable operator()(const Variable& x) const override;
  // i32 [1]: the passes so far, which choose the numbers; on the device, so that a step can be
  // captured and replayed. A checkpoint must hold it; it is no buffer, since PyTorch's has none.
  Tensor& counter() { return counter_; }

 private:
  float p_;
  Rng rng_;
  Tensor counter_;
};

}  // namespace versor
