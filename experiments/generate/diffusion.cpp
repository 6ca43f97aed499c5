// Noise schedules, losses and samplers: see diffusion.h.
#include "experiments/generate/diffusion.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr double kBoundWeight = 0.001;  // Nichol, eq. 16

// Nichol, eq. 17.
double cosine_alpha_bar(double part) {
  const auto f = [](double u) {
    return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2);
  };
  return f(part) / f(0);
}

double beta_of(NoiseSchedule schedule, double t, double T) {
  if (schedule == NoiseSchedule::linear)
    return (1e-4 + (0.02 - 1e-4) * (t - 1) / (T - 1)) * 1000 / T;
  return std::min(0.999, 1 - cosine_alpha_bar(t / T) / cosine_alpha_bar((t - 1) / T));
}

// a x + b y
Tensor combined(double a, const Tensor& x, double b, const Tensor& y) {
  Tensor sum = ops::scaled(x, static_cast<float>(a));
  ops::add_to(sum, ops::scaled(y, static_cast<float>(b)));
  return sum;
}

// A function's value for each sample's time.
template <class Function>
Tensor of_times(const std::vector<double>& times, Device device, Function value) {
  std::vector<float> values;
  for (const double t : times) values.push_back(static_cast<float>(value(t)));
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

// The prediction in an output for samples x (part 0), and what tells the variances (part 1).
Variable part_of(const Variable& output, const Shape& x, int64_t part) {
  const int64_t D = x[-1];
  if (part == 0 && output.shape() == x) return output;
  check(output.shape()[-1] == 2 * D, "diffusion", "samples ", x, " do not go with an output ",
        output.shape());
  return reshape(slice(rows(output), part * D, (part + 1) * D), x);
}
Tensor part_of(const Tensor& output, const Tensor& x, int64_t part) {
  return part_of(Variable(output), x.shape(), part).value();
}

}  // namespace

Diffusion::Diffusion(const DiffusionOptions& options) : options_(options), log_alpha_bar_{0} {
  check(options.steps >= 2, "diffusion", "needs at least 2 steps, got ", options.steps);
  const auto T = static_cast<double>(options.steps);
  for (double t = 1; t <= T; ++t) {
    const double beta = beta_of(options.schedule, t, T);
    check(beta < 1, "diffusion", options.steps, " steps are too few for the schedule ",
          name_of(options.schedule));
    log_alpha_bar_.push_back(log_alpha_bar_.back() + std::log1p(-beta));
  }
}

double Diffusion::log_alpha_bar(double t) const {
  check(0 <= t && t <= static_cast<double>(options_.steps), "diffusion", "no time ", t, " in 0..",
        options_.steps);
  const auto before = static_cast<size_t>(t);
  const size_t after = std::min(before + 1, log_alpha_bar_.size() - 1);
  return std::lerp(log_alpha_bar_[before], log_alpha_bar_[after], t - static_cast<double>(before));
}

double Diffusion::signal(double t) const {
  return std::exp(log_alpha_bar(t) / 2);
}

double Diffusion::noise(double t) const {
  return std::sqrt(-std::expm1(log_alpha_bar(t)));
}

Posterior Diffusion::posterior(double t, double s) const {
  const double at = log_alpha_bar(t), as = log_alpha_bar(s);
  const double beta = -std::expm1(at - as), noise_t = -std::expm1(at), noise_s = -std::expm1(as);
  return {beta, std::exp(as / 2) * beta / noise_t, std::exp((at - as) / 2) * noise_s / noise_t,
          beta * noise_s / noise_t};
}

Diffusion::Bounds Diffusion::bounds(double t, double s) const {
  const double upper = std::log(posterior(t, s).beta);
  const double lower = std::log(s > 0 ? posterior(t, s).variance : posterior(2, 1).variance);
  return {(upper + lower) / 2, (upper - lower) / 2};
}

Tensor Diffusion::log_variance(const Tensor& x, const Tensor& output, double t, double s) const {
  const auto [middle, half_width] = bounds(t, s);
  return ops::affine(part_of(output, x, 1), static_cast<float>(half_width),
                     static_cast<float>(middle));
}

Tensor Diffusion::noisy(const Tensor& x0, const Tensor& epsilon,
                        const std::vector<double>& times) const {
  const Shape rows{x0.dim(0), x0.numel() / x0.dim(0)};
  const auto part = [&](const Tensor& of, double (Diffusion::*factor)(double) const) {
    return ops::scale_rows(of.reshape(rows), of_times(times, of.device(), [&](double t) {
                             return (this->*factor)(t);
                           }));
  };
  Tensor sum = part(x0, &Diffusion::signal);
  ops::add_to(sum, part(epsilon, &Diffusion::noise));
  return sum.reshape(x0.shape());
}

// The velocity is noisy() of the noise in place of x_0, and of -x_0 in place of the noise.
Tensor Diffusion::target(const Tensor& x0, const Tensor& epsilon,
                         const std::vector<double>& times) const {
  return options_.predicted == Predicted::epsilon ? epsilon
         : options_.predicted == Predicted::x0    ? x0
                                                  : noisy(epsilon, ops::scaled(x0, -1), times);
}

Denoised Diffusion::denoised(const Tensor& x, const Tensor& output, double t) const {
  const Tensor prediction = part_of(output, x, 0);
  const double a = signal(t), b = noise(t);
  switch (options_.predicted) {
    case Predicted::epsilon:
      return {combined(1 / a, x, -b / a, prediction), prediction};
    case Predicted::x0:
      return {prediction, combined(1 / b, x, -a / b, prediction)};
    default:
      return {combined(a, x, -b, prediction), combined(b, x, a, prediction)};
  }
}

// A term of the bound is the mean of (log S + (c + d^2) / S) / 2 + k, where S is the network's
// variance and d the distance of the means. For t > 1 it is the divergence of two normal
// distributions: c is the variance of q, and k = -(1 + log c) / 2. For t = 1 it is
// -log p(x_0 | x_1): c = 0 and k = log(2 pi) / 2. The means being affine in x_0, d is a multiple of
// the prediction's error.
Variable Diffusion::bound(const Variable& output, const Tensor& error,
                          const std::vector<double>& times) const {
  const int64_t N = error.dim(0);
  const Shape samples{N, error.numel() / N};
  const auto each = [&](auto value) { return Variable(of_times(times, error.device(), value)); };
  const auto column = [&](auto value) { return reshape(each(value), {N, 1}); };
  const auto variance = [this](double t) { return posterior(t, t - 1).variance; };
  const auto x0_by_prediction = [this](double t) {
    if (options_.predicted == Predicted::x0) return 1.0;
    return options_.predicted == Predicted::v ? noise(t) : noise(t) / signal(t);
  };
  const Variable distance =
      scale_rows(reshape(Variable(error), samples),
                 each([&](double t) { return posterior(t, t - 1).of_x0 * x0_by_prediction(t); }));
  const Variable log_s =
      scale_rows(reshape(part_of(output, error.shape(), 1), samples),
                 each([this](double t) { return bounds(t, t - 1).half_width; })) +
      column([this](double t) { return bounds(t, t - 1).middle; });
  double k = 0;
  for (const double t : times)
    k += t > 1 ? -1 - std::log(variance(t)) : std::log(2 * std::numbers::pi);
  const Variable terms = mean(log_s + (square(distance) + column(variance)) * exp(-1.f * log_s));
  return (static_cast<float>(options_.steps) / 2) *
         add_scalar(terms, static_cast<float>(k / static_cast<double>(N)));
}

Diffusion::Loss Diffusion::loss(const Variable& output, const Tensor& x0, const Tensor& epsilon,
                                const std::vector<double>& times) const {
  const Variable prediction = part_of(output, x0.shape(), 0);
  const Tensor wanted = target(x0, epsilon, times);
  Loss loss;
  loss.total = loss.simple = mse(prediction, Variable(wanted));
  if (options_.learned_variance) {
    loss.bound = bound(output, ops::sub(prediction.value(), wanted), times);
    loss.total = loss.simple + kBoundWeight * loss.bound;
  }
  return loss;
}

double Diffusion::prior_loss(const Tensor& x0) const {
  const double a = alpha_bar(static_cast<double>(options_.steps));
  const double mean_square =
      static_cast<double>(ops::sum_of_squares(x0).item()) / static_cast<double>(x0.numel());
  return (a * mean_square - a - std::log1p(-a)) / 2;
}

std::vector<double> Diffusion::sampling_times(const DiffusionSampling& options) const {
  const bool whole = options.sampler != Sampler::ode;
  const auto T = static_cast<double>(options_.steps);
  int64_t steps = options.steps;
  if (steps == 0)
    steps = options.sampler == Sampler::ancestral ? options_.steps
            : whole                               ? std::min<int64_t>(50, options_.steps)
                                                  : 25;
  check(!whole || steps <= options_.steps, "diffusion", name_of(options.sampler), " takes at most ",
        options_.steps, " steps, got ", steps);
  std::vector<double> times{T};
  for (int64_t i = steps - 2; i >= 0; --i) {
    const double t = 1 + (T - 1) * static_cast<double>(i) / static_cast<double>(steps - 1);
    times.push_back(whole ? std::round(t) : t);
  }
  times.push_back(0);
  return times;
}

// Means: Ho, eq. 7, and Song, eq. 12; variances: Ho, eq. 7, Nichol, eq. 15, and Song, eq. 16.
Tensor Diffusion::noisy_step(const Tensor& x, const Tensor& output, const Denoised& hat, double t,
                             double s, const DiffusionSampling& options,
                             const std::function<Tensor()>& draw) const {
  const Posterior q = posterior(t, s);
  const bool chain = options.sampler == Sampler::ancestral;
  const double variance = q.variance * (chain ? 1 : options.eta * options.eta);
  Tensor next =
      chain ? combined(q.of_x0, hat.x0, q.of_xt, x)
            : combined(signal(s), hat.x0, std::sqrt(1 - alpha_bar(s) - variance), hat.epsilon);
  if (chain && options_.learned_variance) {
    const Tensor log_deviation = ops::scaled(log_variance(x, output, t, s), 0.5f);
    ops::add_to(next, ops::mul(draw(), ops::unary(log_deviation, UnaryOp::exp)));
  } else if (variance > 0) {
    ops::add_to(next, ops::scaled(draw(), static_cast<float>(std::sqrt(variance))));
  }
  return next;
}

// d x / d angle = v, where the angle is that of (sqrt(alpha_bar), sqrt(1 - alpha_bar)) (Salimans,
// appendix D), is the probability flow (SDE, eq. 13) with the score -e / sqrt(1 - alpha_bar) and
// the angle in place of the time; it has no coefficient that grows at either end.
Tensor Diffusion::heun_step(const DenoisingFunction& network, const Tensor& x, const Denoised& hat,
                            double t, double s) const {
  const auto velocity = [this](const Denoised& at, double time) {
    return combined(signal(time), at.epsilon, -noise(time), at.x0);
  };
  const double angle = std::atan2(noise(s), signal(s)) - std::atan2(noise(t), signal(t));
  const Tensor here = velocity(hat, t), ahead = combined(1, x, angle, here);
  const Tensor there = velocity(denoised(ahead, network(ahead, s), s), s);
  return combined(1, ahead, angle / 2, combined(1, there, -1, here));
}

Tensor Diffusion::sample(const DenoisingFunction& network, const Shape& shape,
                         const DiffusionSampling& options, int64_t first, Device device,
                         const WatchSampling& watch) const {
  const NoGradGuard no_grad;
  const auto index = static_cast<uint64_t>(first * (shape.numel() / shape[0]));
  const auto draw = [&](size_t number) {
    return ops::normal(shape, Rng(options.seed).split(number).from(index), device);
  };
  const std::vector<double> times = sampling_times(options);
  Tensor x = draw(0);
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const double t = times[i], s = times[i + 1];
    const Tensor output = network(x, t);
    const Denoised hat = denoised(x, output, t);
    if (watch) watch(t, x, hat.x0);
    if (s == 0)
      x = hat.x0;
    else if (options.sampler == Sampler::ode)
      x = heun_step(network, x, hat, t, s);
    else
      x = noisy_step(x, output, hat, t, s, options, [&] { return draw(i + 1); });
  }
  return x;
}

DenoisingFunction guided(DenoisingFunction conditional, DenoisingFunction unconditional,
                         double weight) {
  return [=](const Tensor& x, double t) {
    const Tensor with = conditional(x, t);
    const Tensor prediction =
        combined(1 + weight, part_of(with, x, 0), -weight, part_of(unconditional(x, t), x, 0));
    if (with.shape() == x.shape()) return prediction;
    return ops::concat({prediction.flat_rows(), part_of(with, x, 1).flat_rows()})
        .reshape(with.shape());
  };
}

}  // namespace versor
