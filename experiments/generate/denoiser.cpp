// The network of a diffusion on latents: see denoiser.h.
#include "experiments/generate/denoiser.h"

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/run/model_file.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr int64_t kAtOnce = 250;  // samples in one pass

// sin and cos of t times W/2 frequencies, geometrically from 1 to 1/10000 (Vaswani et al. 2017,
// section 3.5): [N,W].
Tensor time_features(const std::vector<double>& times, int64_t W, Device device) {
  std::vector<float> values;
  for (const double t : times)
    for (int64_t i = 0; i < W; ++i) {
      const double angle =
          t * std::pow(1e-4, static_cast<double>(i / 2) / static_cast<double>(W / 2));
      values.push_back(static_cast<float>(i % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  return Tensor::from(values, {std::ssize(times), W}, device);
}

}  // namespace

Denoiser::Denoiser(const DenoiserOptions& o, Rng rng, Device device)
    : options_(o),
      diffusion_(o.diffusion),
      input_(o.latents[2], o.width, rng.split(0), device),
      output_(o.width, (o.diffusion.learned_variance ? 2 : 1) * o.latents[2], rng.split(1), device),
      norm_(o.width, device) {
  const int64_t W = o.width, T = o.latents[0] * o.latents[1], D = o.latents[2];
  mean_ = register_buffer("mean", ops::zeros({D}, device));
  deviation_ = register_buffer("deviation", ops::full({D}, 1, device));
  register_module("input", input_);
  positions_ = register_parameter("positions",
                                  ops::scaled(ops::normal({T, W}, rng.split(2), device), 0.02f));
  time_.add<Linear>("0", W, W, rng.split(3), device);
  time_.add<Silu>("1");
  time_.add<Linear>("2", W, W, rng.split(4), device);
  register_module("time", time_);
  classes_ = register_parameter(
      "classes.weight", ops::scaled(ops::normal({o.classes + 1, W}, rng.split(5), device), 0.02f));
  for (int64_t i = 0; i < o.layers; ++i) {
    blocks_.emplace_back(TransformerOptions{.width = W, .heads = o.heads, .conditioned = true},
                         rng.split(6).split(static_cast<uint64_t>(i)), device);
    register_module(str("blocks.", i), blocks_.back());
  }
  register_module("norm", norm_);
  register_module("output", output_);
  for (Variable p : output_.parameters()) ops::fill(p.mutable_value(), 0.f);
}

Variable Denoiser::operator()(const Tensor& x, const std::vector<double>& times,
                              const std::vector<int32_t>& labels) const {
  const Shape& one = options_.latents;
  const int64_t N = x.dim(0), T = one[0] * one[1];
  check(x.shape() == Shape{N, one[0], one[1], one[2]} && std::ssize(times) == N &&
            std::ssize(labels) == N,
        "denoiser", x.shape(), " at ", times.size(), " times with ", labels.size(),
        " labels are no samples of ", one);
  const Variable condition = time_(Variable(time_features(times, options_.width, device()))) +
                             gather_rows(classes_, Tensor::from(labels, {N}, device()));
  Variable y = add(input_(Variable(x.reshape({N, T, one[2]}))), positions_);
  for (const TransformerBlock& block : blocks_) y = block(y, condition);
  y = output_(norm_(y));
  return reshape(y, {N, one[0], one[1], y.shape()[2]});
}

void Denoiser::standardize_by(const Tensor& latents) {
  const Tensor rows = latents.flat_rows();
  const auto share = 1 / static_cast<float>(rows.dim(0));
  const Tensor mean = ops::scaled(ops::sum_axis0(rows), share);
  ops::copy(mean_.mutable_value(), mean);
  const Tensor centred = ops::binary_rows(rows, mean, BinaryOp::sub);
  const Tensor variance = ops::scaled(ops::sum_axis0(ops::unary(centred, UnaryOp::square)), share);
  ops::copy(deviation_.mutable_value(),
            ops::unary(ops::affine(variance, 1, 1e-12f), UnaryOp::sqrt));
}

Tensor Denoiser::standardized(const Tensor& latents) const {
  return ops::binary_rows(ops::binary_rows(latents, mean_.value(), BinaryOp::sub),
                          deviation_.value(), BinaryOp::div);
}

Tensor Denoiser::latents_of(const Tensor& standardized) const {
  return ops::binary_rows(ops::binary_rows(standardized, deviation_.value(), BinaryOp::mul),
                          mean_.value(), BinaryOp::add);
}

Diffusion::Loss denoising_loss(const Denoiser& network, const Tensor& x0,
                               const std::vector<int32_t>& labels, Rng rng) {
  const Diffusion& diffusion = network.diffusion();
  const auto N = static_cast<double>(x0.dim(0)), T = static_cast<double>(diffusion.options().steps);
  const auto first = static_cast<double>(rng.uniform(0));
  std::vector<double> times;
  for (double n = 0; n < N; ++n) times.push_back(1 + std::floor(std::fmod(first + n / N, 1) * T));
  const Tensor epsilon = ops::normal(x0.shape(), rng.split(0), x0.device());
  const Variable output = network(diffusion.noisy(x0, epsilon, times), times, labels);
  return diffusion.loss(output, x0, epsilon, times);
}

Tensor sample_latents(const Denoiser& network, const std::vector<int32_t>& labels,
                      const DiffusionSampling& options, int64_t first, const WatchSampling& watch) {
  const NoGradGuard no_grad;
  const Shape& one = network.options().latents;
  const auto with = [&](const std::vector<int32_t>& of_batch) -> DenoisingFunction {
    return [&network, of_batch](const Tensor& x, double t) {
      return network(x, std::vector<double>(of_batch.size(), t), of_batch).value();
    };
  };
  Tensor all({std::ssize(labels), one[0], one[1], one[2]}, DType::f32, network.device());
  for (int64_t begin = 0; begin < all.dim(0); begin += kAtOnce) {
    const int64_t end = std::min(begin + kAtOnce, all.dim(0));
    Tensor here = all.rows(begin, end);
    DenoisingFunction function = with({labels.begin() + begin, labels.begin() + end});
    if (options.guidance != 0)
      function =
          guided(function,
                 with(std::vector<int32_t>(static_cast<size_t>(end - begin), network.no_class())),
                 options.guidance);
    ops::copy(here, network.latents_of(network.diffusion().sample(
                        function, here.shape(), options, first + begin, network.device(), watch)));
  }
  return all;
}

namespace {

const VqModel::Level& only_level(const VqModel& model) {
  check(model.levels().size() == 1, "diffusion",
        "works on the latents of models of one level, this one has ", model.levels().size());
  return model.levels()[0];
}

}  // namespace

Tensor encode_latents(const VqModel& model, const Tensor& images) {
  only_level(model);
  const NoGradGuard no_grad;
  return model.latents_of(0, images).value();
}

Tensor decode_latents(const VqModel& model, const Tensor& latents, const Shape& images) {
  const NoGradGuard no_grad;
  const Quantized codes =
      (*only_level(model).quantizer)(Variable(latents.flat_rows()), /*training=*/false);
  return model.decode_symbols({codes.index}, images);
}

nlohmann::ordered_json config_of(const DenoiserOptions& o) {
  return {{"task", "diffusion"},
          {"latents", {o.latents[0], o.latents[1], o.latents[2]}},
          {"layers", o.layers},
          {"width", o.width},
          {"heads", o.heads},
          {"classes", o.classes},
          {"schedule", name_of(o.diffusion.schedule)},
          {"predicted", name_of(o.diffusion.predicted)},
          {"learned_variance", o.diffusion.learned_variance},
          {"steps", o.diffusion.steps}};
}

namespace {

// Throws one of the standard exceptions if they are malformed, or of a network that is larger than
// a file of so many bytes can hold.
DenoiserOptions options_of(const nlohmann::ordered_json& config, uintmax_t bytes) {
  const auto count = [](const nlohmann::ordered_json& number, int64_t least, int64_t most) {
    check(number.is_number_integer(), "size", number.dump(), " is no whole number");
    const auto n = number.get<int64_t>();
    check(least <= n && n <= most, "size", n, " is not in ", least, "..", most);
    return n;
  };
  check(config.at("task") == "diffusion", "task", "it is another network");
  const auto& latents = config.at("latents");
  DenoiserOptions o;
  o.latents = {count(latents.at(0), 1, 1024), count(latents.at(1), 1, 1024),
               count(latents.at(2), 1, 65536)};
  o.layers = count(config.at("layers"), 1, 64);
  o.width = count(config.at("width"), 1, 4096);
  o.heads = count(config.at("heads"), 1, o.width);
  o.classes = count(config.at("classes"), 0, 65536);
  o.diffusion = {parse_name<NoiseSchedule>(config.at("schedule")),
                 parse_name<Predicted>(config.at("predicted")), config.at("learned_variance"),
                 count(config.at("steps"), 2, 65536)};
  const int64_t least = o.width * (18 * o.width * o.layers + o.latents[0] * o.latents[1] +
                                   2 * o.latents[2] + o.classes);
  check(static_cast<uintmax_t>(least) <= bytes / sizeof(float), "size", "the network would have ",
        least, " numbers or more");
  return o;
}

}  // namespace

LoadedDenoiser load_denoiser(const std::string& path, Device device) {
  const nlohmann::ordered_json config = network_config(path);
  LoadedDenoiser loaded;
  try {
    loaded.network = std::make_unique<Denoiser>(
        options_of(config, std::filesystem::file_size(weights_in(path))), Rng(0), device);
    loaded.first_stage = config.at("first_stage");
  } catch (const std::exception& e) {
    fail("diffusion", path, " has no diffusion model: ", e.what());
  }
  load_network(*loaded.network, path);
  return loaded;
}

}  // namespace versor
