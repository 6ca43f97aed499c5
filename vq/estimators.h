// The gradient estimators: the value that the decoder gets, and the gradient that the encoder gets
// back. The formulas of the estimators that work row by row are in row_math.h. Two more draw random
// numbers in training, and their gradient reaches the codes too, which must therefore be trained by
// gradients:
//
//   gumbel  a code drawn from softmax(l), l_k = -|e - c_k|^2 / t, by the Gumbel-max trick, g_k
//           standard Gumbel:  index = argmax_k (l_k + g_k), value c_index. Backward as if the value
//           were the mixture  sum_k y_k c_k,  y = softmax(l + g).
//           Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax" (2017).
//   diveq   value  e + |q - e| sg[u],  u = direction of (q - e) + s n,  n standard normal, s =
//           noise_deviation: without the noise it would be q. The gradient reaches e and q through
//           |q - e|. Vali et al., "DiVeQ: Differentiable Vector Quantization Using the
//           Reparameterization Trick" (2025).
//
// In evaluation both pass the nearest code on.
#pragma once

#include <functional>

#include "autograd/variable.h"
#include "tensor/rng.h"
#include "vq/row_math.h"

namespace versor {

// The point that rotation, rotation_unscaled, reflection and published turn about. A turn about the
// origin moves a vector in proportion to its length; the farther away the point is, the closer
// rotation comes to ste, which moves all vectors of a cell alike.
struct RotationOrigin {
  double coordinate = 0;  // each coordinate of the point
  bool mean = false;      // instead, the running mean of the latents: Codebook::mean()

  bool is_zero() const { return !mean && coordinate == 0; }
};

struct EstimatorOptions {
  Estimator estimator = Estimator::rotation;
  RotationOrigin origin = {};
  // t. With 0 the nearest code is taken. Above 0, codes are drawn from softmax(-|e - c|^2 / t) in
  // training; only `ste` and `gumbel` allow that, and gumbel requires it.
  double temperature = 0;
  // s of diveq, in the units of the latents. 0.001 is what the authors' code draws with: it calls
  // the number noise_var, but passes it to torch's Normal as the standard deviation. The larger s
  // is beside |q - e| / sqrt(D), the less the decoder is trained on what it gets in evaluation, q.
  double noise_deviation = 1e-3;

  EstimatorOptions() = default;
  // gumbel's temperature is in units of squared distance. The default suits latents at the start of
  // training, when a temperature of 1 would draw all codes with nearly equal probability.
  EstimatorOptions(Estimator kind)
      : estimator(kind), temperature(kind == Estimator::gumbel ? 0.01 : 0) {}

  bool draws() const { return temperature > 0 || estimator == Estimator::diveq; }
};

// Whether gradients reach the codes through the value. Such codes cannot be moving averages.
inline bool trains_codes(Estimator estimator) {
  return estimator == Estimator::gumbel || estimator == Estimator::diveq;
}

// Throws Error, giving the reason, for a combination that does not work.
void check_estimator(const EstimatorOptions& options);

// The point [columns] that a number stands for; undefined for 0. `mean` is not a number.
Tensor origin_point(const RotationOrigin& origin, int64_t columns, Device device);
// x - origin in every row; x itself if the origin is undefined, which stands for 0.
//   x [R,D], origin [D].
Tensor about_origin(const Tensor& x, const Tensor& origin);

// Forward: q, bit for bit (`published`, `rotation_unscaled`: |e| qhat). Backward: the estimator's
// gradient to e; none reaches q. gumbel and diveq get the gradient of ste here: in training they
// use the functions below instead.
// With an origin o, a constant, the formulas and edge rules of row_math.h are those of e - o and
// q - o, both rounded to f32, and |e| qhat becomes o + |e-o| (q-o)/|q-o|.
//   e [R,D], q [R,D], origin [D], undefined: 0.
Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator,
                      const Tensor& origin = {});

// Calls work(begin, end) for successive tiles of the R rows. For formulas that never need the whole
// of a tensor [R,K], which would be the largest of the step.
void for_row_tiles(int64_t R, int64_t K, const std::function<void(int64_t, int64_t)>& work);

// l [R,K] up to a constant per row, |e - m|^2 / t, which changes no softmax and no argmax:
//   (2 (e - m).(c_k - m) - |c_k - m|^2) / t,  m the mean of the codes.
// Without m, an offset that vectors and codes share would cancel badly in f32: at offset 100 and
// t = 0.01 probabilities would be off by up to 1. Two errors remain. The formula rounds by up to
// D 2^-22 |e - m| |c_k - m| / t, which is large only if codes lie far apart in units of sqrt(t)
// (one far from all others moves m) or vectors lie far from all codes; and e and the codes are
// themselves rounded to f32. The gradient treats m as a constant: the gradient of anything
// invariant to a shift of the row is the same for every m.   e [R,D], codes [K,D].
Variable code_logits(const Variable& e, const Variable& codes, double temperature);
// l + g [R,K], in place; g is the Gumbel noise of this draw.   draw i32 [1]: the number of the
// draw, on the device.
Variable with_gumbel_noise(Variable logits, const Tensor& draw, Rng rng);
// The drawn code of every row, argmax of l + g, i32 [R].
Tensor drawn_code(const Tensor& e, const Tensor& codes, double temperature, const Tensor& draw,
                  Rng rng);
// y = softmax(l + g) [R,K], all of which the gradient needs; q [R,D]: the drawn codes -> value
// [R,D].
Variable gumbel_value(const Variable& y, const Variable& codes, const Tensor& q);
// noisy [R,D] is q - e plus noise; its direction is u.
Variable diveq_value(const Variable& e, const Variable& q, const Tensor& noisy);

}  // namespace versor
