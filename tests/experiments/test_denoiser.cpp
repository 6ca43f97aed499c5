// The denoiser's file and its latents, bin/diffusion, and learned variances.
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "experiments/cli/program.h"
#include "experiments/generate/denoiser.h"
#include "experiments/run/metrics.h"
#include "experiments/run/model_file.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<VqModel> small_model(ModelKind kind = ModelKind::vqvae) {
  RunOptions options;
  options.latent = 16;
  options.codes = 16;
  options.model = kind;
  options.codebook_start = CodebookStart::uniform;
  apply_preset(options);
  auto model = make_model(options, 3, {}, Rng(3));
  model->set_training(false);
  return model;
}

DenoiserOptions small_options() {
  return {.latents = {2, 3, 4}, .layers = 1, .width = 8, .heads = 2, .classes = 3};
}

// Every parameter moved from where it starts: a new denoiser's output is 0.
void make_lively(Denoiser& network) {
  uint64_t i = 0;
  for (auto& [name, p] : network.named_parameters())
    ops::copy(p.mutable_value(), ops::scaled(ops::normal(p.shape(), Rng(8).split(++i)), 0.5f));
}

}  // namespace

TEST_CASE("latents that a model encodes decode to its reconstructions") {
  const auto model = small_model();
  const Tensor images = ops::uniform({3, 8, 12, 3}, Rng(1), -1, 1);
  const Tensor latents = encode_latents(*model, images);
  CHECK(latents.shape() == Shape{3, 2, 3, 16});
  const NoGradGuard no_grad;
  CHECK((bits_of(decode_latents(*model, latents, images.shape())) ==
         bits_of((*model)(images).reconstruction.value())));
  const auto levels = small_model(ModelKind::vqvae2);
  CHECK(contains(error_of([&] { encode_latents(*levels, images); }), "models of one level"));
  CHECK(contains(error_of([&] { decode_latents(*levels, latents, images.shape()); }),
                 "models of one level"));
}

TEST_CASE("standardized latents have mean 0 and deviation 1 per channel, and go back") {
  Denoiser network(small_options(), Rng(1), {});
  const Tensor columns = Tensor::from(std::vector<float>{3, 0.1f, 1, 0}, {4});
  const Tensor latents = ops::binary_rows(ops::affine(ops::normal({50, 2, 3, 4}, Rng(2)), 1, 5),
                                          columns, BinaryOp::mul);
  network.standardize_by(latents);
  const Tensor standard = network.standardized(latents);
  const std::vector<float> v = standard.to_vector<float>();
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (size_t i = c; i < v.size(); i += 4) sum += v[i], squares += v[i] * v[i];
    CHECK(std::abs(sum / 300) <= 1e-5);
    CHECK(squares / 300 == doctest::Approx(1).epsilon(1e-4));
  }
  for (size_t i = 3; i < v.size(); i += 4) REQUIRE(v[i] == 0);  // a channel that does not vary
  CHECK(error(network.latents_of(standard), to_array(latents)) <= 1e-6);
}

TEST_CASE("the denoiser sees the time, the class and all places; samples do not see each other") {
  Denoiser network(small_options(), Rng(1), {});
  const NoGradGuard no_grad;
  const Tensor x = ops::normal({2, 2, 3, 4}, Rng(2));
  const auto out = [&](const Tensor& at, std::vector<double> times, std::vector<int32_t> labels) {
    return network(at, times, labels).value();
  };
  CHECK((bits_of(out(x, {5, 7}, {0, 3})) == bits_of(ops::zeros(x.shape()))));  // at first
  make_lively(network);
  const Tensor base = out(x, {5, 7}, {0, 3});
  const auto same = [&](const Tensor& other, int64_t sample) {
    return bits_of(other.rows(sample, sample + 1)) == bits_of(base.rows(sample, sample + 1));
  };
  const Tensor later = out(x, {5, 7.5}, {0, 3}), classes = out(x, {5, 7}, {2, 3});
  CHECK(same(later, 0));
  CHECK_FALSE(same(later, 1));
  CHECK_FALSE(same(classes, 0));
  CHECK(same(classes, 1));
  Tensor moved = ops::clone(x);
  moved.data<float>()[24 + 23] += 1;  // the last place of sample 1, seen by its first
  const Tensor other = out(moved, {5, 7}, {0, 3});
  CHECK(same(other, 0));
  CHECK(other.data<float>()[24] != base.data<float>()[24]);
  CHECK(contains(error_of([&] { out(x, {5}, {0, 3}); }), "no samples of [2,3,4]"));
}

// The bound against its definition, a divergence of normal distributions, in double.
TEST_CASE("the variational bound: value, and gradients of the variances alone") {
  for (const auto& predicted : EnumNames<Predicted>::all) {
    CAPTURE(predicted.name);
    const Diffusion d({.schedule = NoiseSchedule::linear,
                       .predicted = predicted.value,
                       .learned_variance = true});
    const std::vector<double> times = {1, 2, 400};
    const Tensor x0 = ops::normal({3, 2}, Rng(1)), e = ops::normal({3, 2}, Rng(2));
    const Variable output(ops::normal({3, 4}, Rng(3)), true);
    const Diffusion::Loss loss = d.loss(output, x0, e, times);
    const Tensor x = d.noisy(x0, e, times);
    double expected = 0;
    for (int64_t n = 0; n < 3; ++n) {
      const double t = times[n];
      const Posterior q = d.posterior(t, t - 1);
      const Tensor row = output.value().rows(n, n + 1), at = x.rows(n, n + 1);
      const Tensor hat = d.denoised(at, row, t).x0, variances = d.log_variance(at, row, t, t - 1);
      for (int64_t i = 0; i < 2; ++i) {
        const double log_s = variances.data<float>()[i], s = std::exp(log_s);
        const double mean = q.of_x0 * hat.data<float>()[i] + q.of_xt * at.data<float>()[i];
        const double wanted = x0.data<float>()[2 * n + i];
        const double v = row.data<float>()[2 + i];
        const double low = std::log(t > 1 ? q.variance : d.posterior(2, 1).variance);
        CHECK(log_s == doctest::Approx((v + 1) / 2 * std::log(q.beta) + (1 - v) / 2 * low));
        const double of_q = q.of_x0 * wanted + q.of_xt * at.data<float>()[i];
        const double term =
            t > 1 ? (log_s - std::log(q.variance) - 1 +
                     (q.variance + (mean - of_q) * (mean - of_q)) / s)
                  : log_s + std::log(2 * M_PI) + (mean - wanted) * (mean - wanted) / s;
        expected += term / 2 / 6 * 1000;
      }
    }
    CHECK(loss.bound.item() == doctest::Approx(expected).epsilon(1e-3));
    CHECK(loss.total.item() == doctest::Approx(loss.simple.item() + loss.bound.item() / 1000));
    backward(loss.bound);
    const std::vector<float> gradient = output.grad().to_vector<float>();
    for (size_t i = 0; i < gradient.size(); ++i) CHECK((gradient[i] == 0) == (i % 4 < 2));
  }
}

TEST_CASE("the rest of the bound is the divergence from noise") {
  const Diffusion d({.schedule = NoiseSchedule::linear});
  const double a = d.alpha_bar(1000);
  CHECK(d.prior_loss(ops::full({2, 2}, 3)) ==
        doctest::Approx((1 - a + a * 9 - 1 - std::log(1 - a)) / 2).epsilon(1e-5));
}

TEST_CASE("bin/diffusion: a run, its file, samples of it, and interrupted and resumed" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string first = folder / "first", whole = folder / "whole", cut = folder / "cut";
  REQUIRE(run(tiny(first, "--epochs 1")).code == 0);
  const auto command = [&](const std::string& out, const std::string& more = "") {
    return "diffusion " + first + " --out " + out +
           " --layers 1 --width 16 --heads 2 --batch-size 16 --epochs 6 --snapshots "
           "--learned-variance --quiet --threads 1 " +
           more;
  };
  const Ended ended = run(command(whole));
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const MetricsTable metrics = read_metrics(whole + "/metrics.csv");
  CHECK(metrics.rows.size() == 6);
  CHECK(metrics.last("test_loss") < metrics.column("test_loss")[0]);
  CHECK(metrics.last("test_bits_per_dimension") < metrics.column("test_bits_per_dimension")[0]);

  int code = 0;
  for (int attempt = 0; attempt < 5 && code != kInterrupted; ++attempt) {
    fs::remove_all(cut);
    Process process(command(cut));
    while (process.running() && !fs::exists(cut + "/metrics.csv"))
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    process.send(SIGINT);
    code = process.wait().code;
  }
  CHECK(code == kInterrupted);
  CHECK(run(command(cut)).code == 0);
  for (const char* name : {"/metrics.csv", "/model.safetensors", "/snapshots/6.safetensors"}) {
    CAPTURE(name);
    CHECK((read_file(cut + name) == read_file(whole + name)));
  }

  const LoadedDenoiser loaded = load_denoiser(whole, {});
  CHECK(loaded.network->options().latents == Shape{8, 8, 8});
  CHECK(loaded.first_stage == fingerprint_of_weights(first));
  const int32_t none = loaded.network->no_class();
  const DiffusionSampling sampling{.sampler = Sampler::ddim, .steps = 4, .guidance = 1};
  const Tensor samples = sample_latents(*loaded.network, {0, none, 1}, sampling);
  CHECK(samples.shape() == Shape{3, 8, 8, 8});
  const Tensor second = sample_latents(*loaded.network, {none}, sampling, 1);
  CHECK(error(second, to_array(samples.rows(1, 2))) <= 1e-4);

  // A file that does not say what it is.
  SafetensorsFile file = read_safetensors(whole + "/model.safetensors");
  auto config = nlohmann::ordered_json::parse(file.metadata.at("config"));
  const auto error_with = [&](const char* name, const nlohmann::ordered_json& value) {
    auto other = config;
    other[name] = value;
    file.metadata["config"] = other.dump();
    write_safetensors(folder / "other.safetensors", file);
    return error_of([&] { load_denoiser(folder / "other.safetensors", {}); });
  };
  for (const auto& [name, value] :
       std::map<std::string, nlohmann::ordered_json>{{"task", "prior"},
                                                     {"width", 1 << 30},
                                                     {"width", 4096},
                                                     {"layers", "many"},
                                                     {"latents", {8, 8}},
                                                     {"latents", {1024, 1024, 8}},
                                                     {"steps", 0},
                                                     {"schedule", "steep"}}) {
    CAPTURE(name);
    CHECK(contains(error_with(name.c_str(), value), "other.safetensors"));
  }
}

TEST_CASE("bin/diffusion refuses what it cannot train" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const Ended heads = run("diffusion nowhere --width 30 --heads 4");
  CHECK(heads.code == 2);
  CHECK(contains(error_line(heads), "--width"));
  CHECK(contains(error_line(run("diffusion nowhere")), "nowhere"));
  const std::string two = folder / "two";
  REQUIRE(run(tiny(two, "--epochs 1 --model vqvae2")).code == 0);
  const Ended levels = run("diffusion " + two);
  CHECK(levels.code == 1);
  CHECK(contains(error_line(levels), "models of one level"));
}

}  // namespace versor::testing
