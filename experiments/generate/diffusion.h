// Diffusion of continuous samples x_0: noise is added in T steps, a network learns to undo it, and
// samplers go back from noise to samples. Sources of the equations:
//   Ho        Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models" (2020)
//   Nichol    Nichol, Dhariwal, "Improved Denoising Diffusion Probabilistic Models" (2021)
//   Song      Song, Meng, Ermon, "Denoising Diffusion Implicit Models" (2020)
//   SDE       Song et al., "Score-Based Generative Modeling through Stochastic Differential
//             Equations" (2021)
//   Salimans  Salimans, Ho, "Progressive Distillation for Fast Sampling of Diffusion Models" (2022)
//   Guidance  Ho, Salimans, "Classifier-Free Diffusion Guidance" (2022)
// Samples are [N,...] tensors; times are 1..T, and 0 for x_0. Coefficients are computed in double.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "autograd/variable.h"
#include "tensor/names.h"
#include "tensor/rng.h"

namespace versor {

enum class NoiseSchedule { linear, cosine };
template <>
struct EnumNames<NoiseSchedule> {
  static constexpr Named<NoiseSchedule> all[] = {{NoiseSchedule::linear, "linear"},
                                                 {NoiseSchedule::cosine, "cosine"}};
};

// What the network predicts: the noise e of x_t = a x_0 + b e with a^2 = alpha_bar(t) and a^2 + b^2
// = 1, the velocity v = a e - b x_0 (Salimans, section 4), or x_0.
enum class Predicted { epsilon, v, x0 };
template <>
struct EnumNames<Predicted> {
  static constexpr Named<Predicted> all[] = {
      {Predicted::epsilon, "epsilon"}, {Predicted::v, "v"}, {Predicted::x0, "x0"}};
};

enum class Sampler { ancestral, ddim, ode };
template <>
struct EnumNames<Sampler> {
  static constexpr Named<Sampler> all[] = {
      {Sampler::ancestral, "ancestral"}, {Sampler::ddim, "ddim"}, {Sampler::ode, "ode"}};
};

struct DiffusionOptions {
  NoiseSchedule schedule = NoiseSchedule::cosine;
  Predicted predicted = Predicted::v;
  // The network's output is twice as wide, [...,2D]: behind the prediction, how each element's
  // variance lies between its bounds (Nichol, eq. 15).
  bool learned_variance = false;
  int64_t steps = 1000;  // T
};

// x_0 and e as a prediction at x_t has them.
struct Denoised {
  Tensor x0, epsilon;
};

// The normal distribution q(x_s | x_t, x_0), s < t: its mean is of_x0 x_0 + of_xt x_t.
struct Posterior {
  double beta;  // the variance of x_t given x_s
  double of_x0, of_xt, variance;
};

struct DiffusionSampling {
  Sampler sampler = Sampler::ancestral;
  int64_t steps = 0;    // 0: all T of the chain, 50 of DDIM, 25 of the ODE (two evaluations each)
  double eta = 0;       // the noise of DDIM: 0 none, 1 that of the chain
  double guidance = 0;  // the weight of guided(), where the network knows classes
  uint64_t seed = 1;
};

// The network's output for samples x that are all at time t, which need not be whole for the ODE.
using DenoisingFunction = std::function<Tensor(const Tensor& x, double t)>;
// Sees x_t and what it is predicted to become.
using WatchSampling = std::function<void(double t, const Tensor& x, const Tensor& x0)>;

class Diffusion {
 public:
  // linear: beta from 1e-4 to 0.02, times 1000/T (Ho, section 4); cosine: Nichol, eq. 17, beta at
  // most 0.999. Throws Error for fewer than 2 steps, or so few that a beta reaches 1.
  explicit Diffusion(const DiffusionOptions& options);

  const DiffusionOptions& options() const { return options_; }
  // Between whole numbers, 0 <= t <= T, its logarithm is linear: the marginals of the variance
  // preserving SDE (SDE, eq. 11) whose rate -log(1 - beta) is constant during a step, so that it
  // has the chain's marginals at whole times.
  double alpha_bar(double t) const { return std::exp(log_alpha_bar(t)); }
  // Ho, eq. 6 and 7; for s < t - 1 with the beta of the shortened chain (Nichol, eq. 19).
  Posterior posterior(double t, double s) const;

  // x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) e (Ho, eq. 4), sample n at times[n].
  Tensor noisy(const Tensor& x0, const Tensor& epsilon, const std::vector<double>& times) const;
  // What the network should have predicted there.
  Tensor target(const Tensor& x0, const Tensor& epsilon, const std::vector<double>& times) const;
  // The prediction, behind which a variance may follow, in its two other forms.
  Denoised denoised(const Tensor& x, const Tensor& output, double t) const;
  // The logarithm of the variance of p(x_s | x_t), like x, in an output with learned variances
  // (Nichol, eq. 15): where the output is -1 it is that of q(x_s | x_t, x_0), where it is 1 it is
  // beta, and the logarithm is linear in it.
  Tensor log_variance(const Tensor& x, const Tensor& output, double t, double s) const;

  // The losses of outputs at whole times:
  //   simple  the mean squared error of the prediction; of epsilon it is Ho, eq. 14
  //   bound   T times the mean of the terms L_0 .. L_{T-1} of the variational bound (Nichol, eq. 4
  //           to 6), in nats a dimension; undefined without learned_variance. It trains the
  //           variances only: no gradient flows through the mean. L_0 is the density of a normal
  //           distribution; x_0 are no bytes of images whose intervals a probability could be of.
  //   total   simple + 0.001 bound (Nichol, eq. 16)
  struct Loss {
    Variable total, simple, bound;  // [1]
  };
  Loss loss(const Variable& output, const Tensor& x0, const Tensor& epsilon,
            const std::vector<double>& times) const;
  // The rest of the bound, the divergence of q(x_T | x_0) from N(0,1) in nats a dimension (Nichol,
  // eq. 7).
  double prior_loss(const Tensor& x0) const;

  // Samples number first, first + 1, ... of a seed, of the given shape [N,...]: each is the same,
  // however many are drawn together.
  //   ancestral  Ho, algorithm 2, with the smaller variance (eq. 7) or the learned one; of fewer
  //              steps over evenly spaced ones (Nichol, section 4)
  //   ddim       Song, eq. 12 and 16, over the same steps
  //   ode        the probability flow (SDE, eq. 13) by Heun's method
  // Throws Error for more steps of ancestral or ddim than T.
  Tensor sample(const DenoisingFunction& network, const Shape& shape,
                const DiffusionSampling& options, int64_t first = 0, Device device = {},
                const WatchSampling& watch = {}) const;

 private:
  double log_alpha_bar(double t) const;
  double signal(double t) const;  // sqrt(alpha_bar)
  double noise(double t) const;   // sqrt(1 - alpha_bar)
  // The middle and half the width of the range of a learned variance's logarithm. Its lower end, of
  // q, is -inf for s = 0; that of the second step takes its place, as in the authors' program.
  struct Bounds {
    double middle, half_width;
  };
  Bounds bounds(double t, double s) const;
  Variable bound(const Variable& output, const Tensor& error,
                 const std::vector<double>& times) const;
  std::vector<double> sampling_times(const DiffusionSampling& options) const;
  Tensor noisy_step(const Tensor& x, const Tensor& output, const Denoised& hat, double t, double s,
                    const DiffusionSampling& options, const std::function<Tensor()>& draw) const;
  Tensor heun_step(const DenoisingFunction& network, const Tensor& x, const Denoised& hat, double t,
                   double s) const;

  DiffusionOptions options_;
  std::vector<double> log_alpha_bar_;  // of 0..T
};

// (1 + weight) conditional - weight unconditional (Guidance, eq. 6), of predictions of any of the
// three forms: x_t being the same, they are affine in one another. A learned variance is that of
// the conditional output.
DenoisingFunction guided(DenoisingFunction conditional, DenoisingFunction unconditional,
                         double weight);

}  // namespace versor
