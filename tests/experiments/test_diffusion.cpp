// Diffusion: schedules and forward process against closed forms, the three forms of a prediction
// against one another, and the samplers on normal distributions, whose score is known.
#include <cmath>

#include "experiments/generate/denoiser.h"
#include "nn/adam.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

Diffusion diffusion(NoiseSchedule schedule, Predicted predicted = Predicted::epsilon,
                    bool learned = false) {
  return Diffusion({.schedule = schedule, .predicted = predicted, .learned_variance = learned});
}

std::vector<Diffusion> all_forms(bool learned = false) {
  std::vector<Diffusion> all;
  for (const auto& schedule : EnumNames<NoiseSchedule>::all)
    for (const auto& predicted : EnumNames<Predicted>::all)
      all.push_back(diffusion(schedule.value, predicted.value, learned));
  return all;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>(), y = b.to_vector<float>();
  REQUIRE(x.size() == y.size());
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  return largest;
}

// A normal distribution in the plane. x_t is normal with mean a mean and covariance a^2 covariance
// + b^2; the noise that is expected in x_t is b times the inverse of that times x_t - a mean.
struct Normal {
  double mean[2] = {0.5, -1};
  double xx = 1.2, xy = 0.5, yy = 0.4;

  // f(a^2 covariance + b^2) for a function f of symmetric matrices, which acts on eigenvalues.
  Tensor matrix(double a2, double b2, const std::function<double(double)>& f) const {
    const double middle = (xx + yy) / 2, half = std::hypot((xx - yy) / 2, xy);
    const double high = f(a2 * (middle + half) + b2), low = f(a2 * (middle - half) + b2);
    const double c = (xx - yy) / 2 / half, s = xy / half, m = (high + low) / 2,
                 h = (high - low) / 2;
    return Tensor::from(
        std::vector<float>{float(m + h * c), float(h * s), float(h * s), float(m - h * c)}, {2, 2});
  }
  Tensor shift(double factor) const {
    return Tensor::from(std::vector<float>{float(factor * mean[0]), float(factor * mean[1])}, {2});
  }

  Tensor epsilon(const Tensor& x, double alpha_bar) const {
    const double b = std::sqrt(1 - alpha_bar);
    return ops::matmul(ops::binary_rows(x, shift(-std::sqrt(alpha_bar)), BinaryOp::add),
                       matrix(alpha_bar, 1 - alpha_bar, [b](double v) { return b / v; }));
  }
  // The exact prediction; learned variances are the middle of their range.
  DenoisingFunction exact(const Diffusion& diffusion) const {
    return [*this, &diffusion](const Tensor& x, double t) {
      const Tensor e = epsilon(x, diffusion.alpha_bar(t));
      const Tensor x0 = diffusion_of_epsilon(diffusion).denoised(x, e, t).x0;
      const std::vector<double> times(static_cast<size_t>(x.dim(0)), t);
      const Tensor output = diffusion.target(x0, e, times);
      return diffusion.options().learned_variance ? ops::concat({output, ops::zeros(x.shape())})
                                                  : output;
    };
  }
  static Diffusion diffusion_of_epsilon(const Diffusion& diffusion) {
    DiffusionOptions options = diffusion.options();
    options.predicted = Predicted::epsilon;
    options.learned_variance = false;
    return Diffusion(options);
  }
  Tensor draw(int64_t count, Rng rng) const {
    const Tensor root = matrix(1, 0, [](double v) { return std::sqrt(v); });
    return ops::binary_rows(ops::matmul(ops::normal({count, 2}, rng), root), shift(1),
                            BinaryOp::add);
  }

  // Whether samples have this mean and covariance, up to 4 standard errors and a part of the
  // standard deviations, for the finite number of steps.
  void check(const Tensor& samples, double part) const {
    const std::vector<float> v = samples.to_vector<float>();
    const double N = static_cast<double>(samples.dim(0));
    double m[2] = {}, c[3] = {};
    for (size_t i = 0; i < v.size(); ++i) m[i % 2] += static_cast<double>(v[i]) / N;
    for (size_t i = 0; i < v.size(); i += 2) {
      const double x = static_cast<double>(v[i]) - m[0], y = static_cast<double>(v[i + 1]) - m[1];
      c[0] += x * x / N, c[1] += x * y / N, c[2] += y * y / N;
    }
    CAPTURE(m[0]);
    CAPTURE(m[1]);
    CAPTURE(c[0]);
    CAPTURE(c[1]);
    CAPTURE(c[2]);
    const auto close = [&](double found, double wanted, double variance, double scale) {
      CHECK(std::abs(found - wanted) <= 4 * std::sqrt(variance / N) + part * scale);
    };
    close(m[0], mean[0], xx, std::sqrt(xx));
    close(m[1], mean[1], yy, std::sqrt(yy));
    close(c[0], xx, 2 * xx * xx, xx);
    close(c[1], xy, xx * yy + xy * xy, std::sqrt(xx * yy));
    close(c[2], yy, 2 * yy * yy, yy);
  }
};

TEST_CASE("schedules have their closed forms") {
  const Diffusion linear = diffusion(NoiseSchedule::linear);
  // Ho: beta grows from 1e-4 to 0.02 in 1000 steps.
  double product = 1;
  for (int t = 1; t <= 1000; ++t) {
    const double beta = 1e-4 + (0.02 - 1e-4) * (t - 1) / 999;
    product *= 1 - beta;
    CHECK(linear.alpha_bar(t) == doctest::Approx(product).epsilon(1e-12));
    CHECK(linear.posterior(t, t - 1).beta == doctest::Approx(beta).epsilon(1e-9));
  }
  CHECK(linear.alpha_bar(1000) == doctest::Approx(4.036e-5).epsilon(1e-3));

  const Diffusion cosine = diffusion(NoiseSchedule::cosine);
  const auto f = [](double u) { return std::pow(std::cos((u + 0.008) / 1.008 * M_PI / 2), 2); };
  for (int t = 0; t < 1000; ++t)
    CHECK(cosine.alpha_bar(t) == doctest::Approx(f(t / 1000.) / f(0)).epsilon(1e-9));
  CHECK(cosine.posterior(1000, 999).beta == doctest::Approx(0.999));  // else it would be 1

  for (const Diffusion& d : {linear, cosine}) {
    CHECK(d.alpha_bar(0) == 1);
    for (const double t : {0.25, 17.5, 998.75})  // between steps: the geometric mean
      CHECK(d.alpha_bar(t) ==
            doctest::Approx(std::pow(d.alpha_bar(std::floor(t)), std::ceil(t) - t) *
                            std::pow(d.alpha_bar(std::ceil(t)), t - std::floor(t))));
    CHECK(contains(error_of([&] { d.alpha_bar(1000.5); }), "no time 1000.5 in 0..1000"));
  }
  CHECK(contains(error_of([] { Diffusion({.schedule = NoiseSchedule::linear, .steps = 10}); }),
                 "10 steps are too few for the schedule linear"));
}

TEST_CASE("the forward process: single steps have the marginal's mean and variance") {
  for (const auto& schedule : EnumNames<NoiseSchedule>::all) {
    const Diffusion d = diffusion(schedule.value);
    // Of x_t given x_0 = 1, step by step: q(x_t | x_{t-1}) = N(sqrt(1 - beta) x_{t-1}, beta).
    double mean = 1, variance = 0;
    for (int t = 1; t <= 1000; ++t) {
      const double beta = d.posterior(t, t - 1).beta;
      mean *= std::sqrt(1 - beta);
      variance = (1 - beta) * variance + beta;
      CHECK(mean == doctest::Approx(std::sqrt(d.alpha_bar(t))).epsilon(1e-9));
      CHECK(variance == doctest::Approx(1 - d.alpha_bar(t)).epsilon(1e-9));
    }
  }
  // The same with samples, and noisy() beside them.
  const Diffusion d({.schedule = NoiseSchedule::linear, .steps = 100});
  const int64_t N = 20000;
  const Tensor x0 = ops::full({N, 1}, 2);
  Tensor x = x0;
  for (int t = 1; t <= 60; ++t) {
    const double beta = d.posterior(t, t - 1).beta;
    x = ops::add(
        ops::scaled(x, static_cast<float>(std::sqrt(1 - beta))),
        ops::scaled(ops::normal({N, 1}, Rng(3).split(t)), static_cast<float>(std::sqrt(beta))));
  }
  const Tensor closed = d.noisy(x0, ops::normal({N, 1}, Rng(4)), std::vector<double>(N, 60.));
  for (const Tensor& samples : {x, closed}) {
    const double mean = static_cast<double>(ops::sum(samples, 1.f / N).item());
    const double square = static_cast<double>(ops::sum_of_squares(samples).item()) / N;
    const double variance = 1 - d.alpha_bar(60);
    CHECK(std::abs(mean - 2 * std::sqrt(d.alpha_bar(60))) <= 4 * std::sqrt(variance / N));
    CHECK(std::abs(square - mean * mean - variance) <= 4 * variance * std::sqrt(2. / N));
  }
}

TEST_CASE("the posterior is that of Bayes' rule, over one step and over many") {
  for (const auto& schedule : EnumNames<NoiseSchedule>::all) {
    const Diffusion d = diffusion(schedule.value);
    for (const auto& [t, s] : {std::pair(2, 1), std::pair(500, 499), std::pair(900, 300)}) {
      const double at = d.alpha_bar(t), as = d.alpha_bar(s), step = at / as;
      // x_s ~ N(sqrt(as) x_0, 1 - as), and x_t ~ N(sqrt(step) x_s, 1 - step).
      const double precision = 1 / (1 - as) + step / (1 - step);
      const Posterior q = d.posterior(t, s);
      CHECK(q.variance == doctest::Approx(1 / precision).epsilon(1e-8));
      CHECK(q.of_x0 == doctest::Approx(std::sqrt(as) / (1 - as) / precision).epsilon(1e-8));
      CHECK(q.of_xt == doctest::Approx(std::sqrt(step) / (1 - step) / precision).epsilon(1e-8));
    }
  }
}

TEST_CASE("predictions of noise, velocity and sample are one another's conversions") {
  const int64_t N = 64;
  const Tensor x0 = ops::normal({N, 6}, Rng(1)), e = ops::normal({N, 6}, Rng(2));
  for (const double t : {1., 10., 400., 990.}) {
    const std::vector<double> times(N, t);
    for (const Diffusion& d : all_forms()) {
      CAPTURE(t);
      CAPTURE(name_of(d.options().predicted));
      const Tensor x = d.noisy(x0, e, times);
      const Denoised hat = d.denoised(x, d.target(x0, e, times), t);
      const Posterior q = d.posterior(t, t - 1);
      // Rounding grows by noise / signal and its inverse; the mean that a sampler takes does not
      // feel it.
      const double b = std::sqrt(1 - d.alpha_bar(t)), a = std::sqrt(d.alpha_bar(t));
      CHECK(largest_difference(hat.x0, x0) <= 1e-6 * (1 + b / a));
      CHECK(largest_difference(hat.epsilon, e) <= 1e-6 * (1 + a / b));
      CHECK(q.of_x0 * largest_difference(hat.x0, x0) <= 1e-5);
    }
  }
}

TEST_CASE("samplers give the same samples whatever is predicted") {
  const Normal normal;
  for (const Sampler sampler : {Sampler::ancestral, Sampler::ddim, Sampler::ode})
    for (const bool learned : {false, true}) {
      std::vector<Tensor> samples;
      for (const Diffusion& d : all_forms(learned)) {
        const DenoisingFunction exact = normal.exact(d);
        samples.push_back(
            d.sample(exact, {16, 2}, {.sampler = sampler, .steps = 40, .eta = 0.5, .seed = 7}));
      }
      CAPTURE(name_of(sampler));
      for (size_t form : {1, 2, 4, 5})  // linear: 0 to 2, cosine: 3 to 5
        CHECK(largest_difference(samples[form], samples[form / 3 * 3]) <= 1e-5);
    }
}

TEST_CASE("a sample is the same however many are drawn together") {
  const Diffusion d = diffusion(NoiseSchedule::linear);
  const DenoisingFunction half = [](const Tensor& x, double) { return ops::scaled(x, 0.5f); };
  for (const DiffusionSampling& options :
       {DiffusionSampling{.steps = 30}, DiffusionSampling{.sampler = Sampler::ddim, .eta = 1},
        DiffusionSampling{.sampler = Sampler::ode}}) {
    const Tensor all = d.sample(half, {5, 3}, options);
    const Tensor first = d.sample(half, {2, 3}, options);
    const Tensor rest = d.sample(half, {3, 3}, options, 2);
    CHECK((bits_of(all) == bits_of(first) + bits_of(rest)));
    DiffusionSampling other = options;
    other.seed = 2;
    CHECK_FALSE((bits_of(all) == bits_of(d.sample(half, {5, 3}, other))));
  }
  CHECK(contains(error_of([&] {
                   d.sample(half, {5, 3}, {.steps = 1001});
                 }),
                 "ancestral takes at most 1000 steps, got 1001"));
}

TEST_CASE("DDIM with the noise of the chain is ancestral sampling") {
  const Diffusion d = diffusion(NoiseSchedule::cosine, Predicted::v);
  const Normal normal;
  const DenoisingFunction exact = normal.exact(d);
  const Tensor chain = d.sample(exact, {32, 2}, {.steps = 50});
  const Tensor ddim = d.sample(exact, {32, 2}, {.sampler = Sampler::ddim, .steps = 50, .eta = 1});
  CHECK(largest_difference(chain, ddim) <= 1e-5);
}

TEST_CASE("with the exact score every sampler has the distribution's mean and covariance") {
  const Normal normal;
  for (const Diffusion& d : {diffusion(NoiseSchedule::linear), diffusion(NoiseSchedule::cosine),
                             diffusion(NoiseSchedule::cosine, Predicted::v, true)}) {
    CAPTURE(name_of(d.options().schedule));
    const DenoisingFunction exact = normal.exact(d);
    const Shape shape{10000, 2};
    normal.check(d.sample(exact, shape, {}), 0.02);
    normal.check(d.sample(exact, shape, {.sampler = Sampler::ddim, .steps = 100}), 0.04);
    normal.check(d.sample(exact, shape, {.sampler = Sampler::ode}), 0.02);
  }
}

// The probability flow of a normal distribution maps x_T to
// mean + covariance^(1/2) (a^2 covariance + b^2)^(-1/2) (x_T - a mean).
TEST_CASE("the probability flow ends where it should, with Heun's order; DDIM with the first") {
  const Normal normal;
  for (const auto& schedule : EnumNames<NoiseSchedule>::all) {
    const Diffusion d = diffusion(schedule.value, Predicted::v);
    const DenoisingFunction exact = normal.exact(d);
    const Shape shape{64, 2};
    const double a2 = d.alpha_bar(1000);
    const auto root = [](double v) { return std::sqrt(v); };
    const Tensor whitened =
        ops::matmul(ops::binary_rows(ops::normal(shape, Rng(1).split(0)),
                                     normal.shift(-std::sqrt(a2)), BinaryOp::add),
                    normal.matrix(a2, 1 - a2, [](double v) { return 1 / std::sqrt(v); }));
    const Tensor end = ops::binary_rows(ops::matmul(whitened, normal.matrix(1, 0, root)),
                                        normal.shift(1), BinaryOp::add);
    const auto error = [&](Sampler sampler, int64_t steps) {
      return largest_difference(d.sample(exact, shape, {.sampler = sampler, .steps = steps}), end);
    };
    const double ode[] = {error(Sampler::ode, 25), error(Sampler::ode, 50)};
    const double ddim[] = {error(Sampler::ddim, 100), error(Sampler::ddim, 200)};
    CAPTURE(ode[0]);
    CAPTURE(ode[1]);
    CAPTURE(ddim[0]);
    CAPTURE(ddim[1]);
    CHECK(ode[0] <= 0.02);
    CHECK(ode[1] <= ode[0] / 3);
    CHECK(ddim[0] <= 0.1);
    CHECK(ddim[1] <= ddim[0] / 1.7);
    CHECK(ddim[1] >= ddim[0] / 3);
  }
}

TEST_CASE("guidance: weight 0 is the conditional prediction, others go beyond it") {
  const Tensor x = ops::normal({4, 3}, Rng(1));
  const auto constant = [](float value, int64_t width) {
    return [=](const Tensor& at, double) { return ops::full({at.dim(0), width}, value); };
  };
  const DenoisingFunction one = constant(1, 3), four = constant(4, 3);
  CHECK((bits_of(guided(one, four, 0)(x, 5)) == bits_of(one(x, 5))));
  CHECK(largest_difference(guided(one, four, 0.5)(x, 5), ops::full({4, 3}, -0.5f)) <= 1e-6);
  const Tensor learned = guided(constant(1, 6), constant(4, 6), 0.5)(x, 5);
  CHECK((bits_of(ops::slice(learned, 0, 3)) == bits_of(ops::full({4, 3}, -0.5f))));
  CHECK((bits_of(ops::slice(learned, 3, 6)) == bits_of(ops::full({4, 3}, 1))));
}

// The denoiser on samples without places, as bin/diffusion trains it on latents.
TEST_CASE("a small network learns the score of a normal distribution, and samples from it") {
  const Normal normal;
  const DenoiserOptions options{.latents = {1, 1, 2},
                                .layers = 2,
                                .width = 32,
                                .heads = 2,
                                .diffusion = {.predicted = Predicted::v, .learned_variance = true}};
  Denoiser network(options, Rng(1), {});
  const int steps = 600;
  Adam adam(network.flat_parameters(), {.lr = 4e-3f, .warmup = 50, .decay = steps});
  network.standardize_by(normal.draw(20000, Rng(2)));
  const auto labels = [](int64_t count) { return std::vector<int32_t>(count, 0); };
  for (int step = 0; step < steps; ++step) {
    const Rng rng = Rng(3).split(static_cast<uint64_t>(step));
    const Tensor x0 = network.standardized(normal.draw(128, rng.split(1))).reshape({128, 1, 1, 2});
    backward(denoising_loss(network, x0, labels(128), rng.split(2)).total);
    adam.step();
    adam.zero_grad();
  }
  network.set_training(false);
  const NoGradGuard no_grad;

  // The exact noise, of the standardized distribution, at all times.
  const Diffusion& d = network.diffusion();
  Normal target = normal;
  const std::vector<float> mean = network.named_buffers()[0].second.value().to_vector<float>(),
                           deviation = network.named_buffers()[1].second.value().to_vector<float>();
  for (int i : {0, 1}) target.mean[i] = (normal.mean[i] - double(mean[i])) / double(deviation[i]);
  target.xx /= double(deviation[0]) * double(deviation[0]);
  target.xy /= double(deviation[0]) * double(deviation[1]);
  target.yy /= double(deviation[1]) * double(deviation[1]);
  double error = 0;
  const int64_t N = 200;
  for (int t = 20; t <= 1000; t += 20) {
    const Tensor x0 = target.draw(N, Rng(4).split(t)), e = ops::normal({N, 2}, Rng(5).split(t));
    const Tensor x = d.noisy(x0, e, std::vector<double>(N, t)).reshape({N, 1, 1, 2});
    const Tensor output = network(x, std::vector<double>(N, t), labels(N)).value();
    const Tensor found = d.denoised(x, output, t).epsilon.reshape({N, 2});
    error += double(ops::mse(found, target.epsilon(x.reshape({N, 2}), d.alpha_bar(t))).item()) / 50;
  }
  CAPTURE(error);
  CHECK(error <= 0.003);

  const auto samples = [&](const DiffusionSampling& sampling, int64_t count) {
    return sample_latents(network, labels(count), sampling).reshape({count, 2});
  };
  normal.check(samples({.steps = 100}, 3000), 0.05);
  normal.check(samples({.sampler = Sampler::ddim}, 3000), 0.05);
  normal.check(samples({.sampler = Sampler::ode}, 3000), 0.05);
}

}  // namespace
}  // namespace versor::testing
