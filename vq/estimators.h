// How the quantizer is passed: the value that the decoder gets, and the gradient that the encoder
// gets back. The formulas of the estimators that work row by row are in row_math.h. Two more draw
// random numbers in training, and their gradient reaches the codes too, which must therefore be
// trained by gradients:
//
//   gumbel  a code drawn from softmax(l), l_k = -|e - c_k|^2 / t, by the Gumbel-max trick, g_k
//           standard Gumbel:  index = argmax_k (l_k + g_k), value c_index. Backward as if the value
//           were the mixture  sum_k y_k c_k,  y = softmax(l + g).
//           Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax" (2017).
//   diveq   value  e + |q - e| sg[u],  u = direction of (q - e) + s n,  n standard normal, s^2 =
//           noise_variance, which is q but for the noise. The gradient reaches e and q through
//           |q - e|. Vali et al., "DiVeQ: Differentiable Vector Quantization Using the
//           Reparameterization Trick" (2025).
//
// In evaluation both pass on the nearest code.
#pragma once

#include <functional>

#include "autograd/variable.h"
#include "tensor/rng.h"
#include "vq/row_math.h"

namespace versor {

struct EstimatorOptions {
  Estimator estimator = Estimator::rotation;
  // t. 0: the nearest code. Above 0, codes are drawn from softmax(-|e - c|^2 / t) in training: only
  // `ste` and `gumbel` allow that, and gumbel requires it.
  double temperature = 0;
  double noise_variance = 5e-3;  // of diveq

  EstimatorOptions() = default;
  // gumbel's temperature is in units of squared distance. The default suits latents at the start of
  // training, where a temperature of 1 would draw all codes alike.
  EstimatorOptions(Estimator kind)
      : estimator(kind), temperature(kind == Estimator::gumbel ? 0.01 : 0) {}

  bool draws() const { return temperature > 0 || estimator == Estimator::diveq; }
};

// Whether gradients reach the codes through the value, so that no moving average may own them.
inline bool trains_codes(Estimator estimator) {
  return estimator == Estimator::gumbel || estimator == Estimator::diveq;
}

// Throws Error with the reason for a combination that does not work.
void check_estimator(const EstimatorOptions& options);

// Forward: q, bit for bit (`published`, `rotation_unscaled`: |e| qhat). Backward: the estimator's
// gradient to e; none reaches q. gumbel and diveq get the gradient of ste here: in training they
// use the functions below instead.
//   e [R,D], q [R,D].
Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator);

// Calls work(begin, end) for all rows, a tile of them at a time, where a tensor [R,K] would be the
// largest of the step and no formula needs it whole.
void for_row_tiles(int64_t R, int64_t K, const std::function<void(int64_t, int64_t)>& work);

// l [R,K] but for a constant per row, |e - m|^2 / t, which no softmax or argmax sees:
//   (2 (e - m).(c_k - m) - |c_k - m|^2) / t,  m the mean of the codes.
// Without m a large common part of vectors and codes would cancel in f32: at offset 100 and t =
// 0.01 probabilities would be off by up to 1. What is left is the rounding of this formula, up to
// D 2^-22 |e - m| |c_k - m| / t, which is large only where codes lie far apart in units of sqrt(t)
// (one far from all others moves m) or vectors far from all codes; and an e or a code that is
// itself rounded to f32. m is a constant to the gradient: that of anything invariant to a shift of
// the row is the same for every m.   e [R,D], codes [K,D].
Variable code_logits(const Variable& e, const Variable& codes, double temperature);
// l + g [R,K], written over l; g is the Gumbel noise of this draw.   draw i32 [1], its number, on
// the device.
Variable with_gumbel_noise(Variable logits, const Tensor& draw, Rng rng);
// The drawn code of every row, argmax of l + g, i32 [R].
Tensor drawn_code(const Tensor& e, const Tensor& codes, double temperature, const Tensor& draw,
                  Rng rng);
// y = softmax(l + g) [R,K], which the gradient needs whole; q [R,D] the drawn codes -> value [R,D].
Variable gumbel_value(const Variable& y, const Variable& codes, const Tensor& q);
// noisy [R,D] is q - e plus noise; its direction is u.
Variable diveq_value(const Variable& e, const Variable& q, const Tensor& noisy);

}  // namespace versor
