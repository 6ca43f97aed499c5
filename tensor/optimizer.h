// The arithmetic of the optimisers, written once for every device as in elementwise.h: the schedule
// of the learning rate, Adam with AdamW's weight decay, SGD with momentum, and the factor that
// clips gradients.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/hostdevice.h"

namespace versor {

// In both, the learning rate of step t = 1, 2, ... is lr * min(1, t / warmup). With decay > 0 it is
// multiplied by (1 + cos(pi min(1, (t-1) / decay))) / 2, half a cosine that reaches 0 after `decay`
// steps (Loshchilov and Hutter, "SGDR", 2017). With every > 0 it is multiplied by gamma each time
// after so many steps, as by PyTorch's StepLR.
struct AdamParams {
  float lr = 2e-4f;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0;  // decoupled: not 0 makes it AdamW
  int warmup = 0, decay = 0;
  int every = 0;
  float gamma = 0.1f;
};

struct SgdParams {
  float lr = 1e-2f;
  float momentum = 0;
  float weight_decay = 0;  // L2: part of the gradient
  bool nesterov = false;
  int warmup = 0, decay = 0;
  int every = 0;
  float gamma = 0.1f;
};

// The learning rate of the optimiser's step t, for AdamParams and SgdParams.
template <class Params>
VERSOR_HD inline double learning_rate(const Params& p, int step) {
  double rate = p.lr;
  if (step < p.warmup) rate *= static_cast<double>(step) / p.warmup;
  if (p.decay > 0) {
    const double done = std::min(1.0, static_cast<double>(step - 1) / p.decay);
    rate *= 0.5 * (1.0 + std::cos(3.14159265358979323846 * done));
  }
  if (p.every > 0) rate *= std::pow(static_cast<double>(p.gamma), (step - 1) / p.every);
  return rate;
}

// The factors of one step that all elements of a parameter share. Computed in f64 because 1 -
// beta2^t is a small difference.
struct AdamFactors {
  float step_size;        // lr / (1 - beta1^t)
  float sqrt_correction;  // sqrt(1 - beta2^t)
  float kept;             // 1 - lr * weight_decay
};

// `step` counts the optimiser's steps and sets the learning rate; `count` is t of the bias
// correction, the number of steps in which the parameter had a gradient.
VERSOR_HD inline AdamFactors adam_factors(const AdamParams& p, int step, int count) {
  const double lr = learning_rate(p, step);
  const double correction1 = 1.0 - std::pow(static_cast<double>(p.beta1), count);
  const double correction2 = 1.0 - std::pow(static_cast<double>(p.beta2), count);
  return {static_cast<float>(lr / correction1), static_cast<float>(std::sqrt(correction2)),
          static_cast<float>(1.0 - lr * p.weight_decay)};
}

// m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  w <- (1 - lr weight_decay) w - lr * m_hat /
// (sqrt(v_hat) + eps), with m_hat = m / (1 - b1^t), v_hat = v / (1 - b2^t). Kingma and Ba 2015;
// the weight decay is AdamW's (Loshchilov and Hutter 2019) in PyTorch's form.
VERSOR_HD inline void adam_update(float& w, float& m, float& v, float g, const AdamParams& p,
                                  const AdamFactors& f) {
  m = p.beta1 * m + (1.f - p.beta1) * g;
  v = p.beta2 * v + (1.f - p.beta2) * g * g;
  w = f.kept * w - f.step_size * m / (std::sqrt(v) / f.sqrt_correction + p.eps);
}

// d = g + weight_decay w;  u <- momentum u + d;  w <- w - lr u, or with Nesterov's momentum
// w - lr (d + momentum u). PyTorch's form with dampening 0; u starts at 0.
VERSOR_HD inline void sgd_update(float& w, float& u, float g, const SgdParams& p, float lr) {
  const float d = g + p.weight_decay * w;
  u = p.momentum * u + d;
  w -= lr * (p.nesterov ? d + p.momentum * u : u);
}

// min(1, max_norm / (norm + 1e-6)), as PyTorch's clip_grad_norm_; NaN where the norm is NaN.
VERSOR_HD inline float clip_factor(float norm, float max_norm) {
  const float factor = max_norm / (norm + 1e-6f);
  return factor > 1.f ? 1.f : factor;
}

}  // namespace versor
