// The prior over symbols: see prior.h.
#include "experiments/generate/prior.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>

#include "autograd/functions.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/generate/pixel_cnn.h"
#include "experiments/run/model_file.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr float kInitial = 0.02f;  // deviation of the tables' first values, as Radford et al. 2019
constexpr int64_t kAtOnce = 256;   // images in one pass without gradients

Tensor table(int64_t rows, int64_t width, Rng rng, Device device) {
  return ops::scaled(ops::normal({rows, width}, rng, device), kInitial);
}

}  // namespace

TransformerPrior::TransformerPrior(SymbolSequence symbols, const PriorOptions& options, Rng rng,
                                   Device device)
    : Prior(std::move(symbols), options.classes),
      options_(options),
      device_(device),
      norm_(options.width, device) {
  const int64_t W = options.width;
  start_ = register_parameter("start.weight", table(options.classes + 1, W, rng.split(0), device));
  tokens_ =
      register_parameter("tokens.weight", table(sequence().vocabulary(), W, rng.split(1), device));
  positions_ = register_parameter("positions", table(sequence().length(), W, rng.split(2), device));
  for (int64_t i = 0; i < options.layers; ++i) {
    blocks_.emplace_back(
        TransformerOptions{
            .width = W, .heads = options.heads, .causal = true, .dropout = options.dropout},
        rng.split(3).split(static_cast<uint64_t>(i)), device);
    register_module(str("blocks.", i), blocks_.back());
  }
  register_module("norm", norm_);
  for (size_t level = 0; level < sequence().levels().size(); ++level) {
    heads_.emplace_back(W, sequence().levels()[level].codes, rng.split(4).split(level), device);
    register_module(str("heads.", level), heads_.back());
  }
}

std::vector<Variable> TransformerPrior::operator()(const Tensor& sequences,
                                                   const std::vector<int32_t>& labels) const {
  const int64_t N = sequences.dim(0), T = sequence().length(), W = options_.width;
  check(sequences.shape() == Shape{N, T} && std::ssize(labels) == N, "prior", "sequences ",
        sequences.shape(), " and ", labels.size(), " labels are not of N images with ", T,
        " symbols");
  std::vector<int32_t> before;  // the numbers of all symbols but the last of each image
  before.reserve(static_cast<size_t>(N * (T - 1)));
  const int32_t* symbols = sequences.data<int32_t>();
  for (int64_t n = 0; n < N; ++n)
    for (int64_t t = 0; t + 1 < T; ++t)
      before.push_back(static_cast<int32_t>(sequence().offset_at(t)) + symbols[n * T + t]);
  std::vector<Variable> inputs{gather_rows(start_, Tensor::from(labels, {N}, device_))};
  if (T > 1)
    inputs.push_back(reshape(gather_rows(tokens_, Tensor::from(before, {N * (T - 1)}, device_)),
                             {N, (T - 1) * W}));
  Variable x = add(reshape(concat(inputs), {N, T, W}), positions_);
  for (const TransformerBlock& block : blocks_) x = block(x);
  x = reshape(norm_(x), {N, T * W});
  std::vector<Variable> logits;
  for (size_t level = 0; level < heads_.size(); ++level) {
    const int64_t first = sequence().first(level), length = sequence().levels()[level].length();
    const Variable of_level = length == T ? x : slice(x, first * W, (first + length) * W);
    logits.push_back(heads_[level](reshape(of_level, {N * length, W})));
  }
  return logits;
}

std::vector<Variable> Prior::losses(const Tensor& sequences,
                                    const std::vector<int32_t>& labels) const {
  const std::vector<Variable> logits = (*this)(sequences, labels);
  const int64_t N = sequences.dim(0), T = sequence_.length();
  const int32_t* symbols = sequences.data<int32_t>();
  std::vector<Variable> losses;
  for (size_t level = 0; level < logits.size(); ++level) {
    const int64_t first = sequence_.first(level), length = sequence_.levels()[level].length();
    std::vector<int32_t> targets;
    for (int64_t n = 0; n < N; ++n)
      targets.insert(targets.end(), symbols + n * T + first, symbols + n * T + first + length);
    losses.push_back(cross_entropy(
        logits[level], Tensor::from(targets, {N * length}, logits[level].value().device())));
  }
  return losses;
}

Variable Prior::loss(const Tensor& sequences, const std::vector<int32_t>& labels) const {
  const std::vector<Variable> of_levels = losses(sequences, labels);
  Variable all;
  for (size_t level = 0; level < of_levels.size(); ++level) {
    const auto share = static_cast<float>(static_cast<double>(sequence_.levels()[level].length()) /
                                          static_cast<double>(sequence_.length()));
    const Variable part = of_levels.size() == 1 ? of_levels[0] : share * of_levels[level];
    all = all.defined() ? all + part : part;
  }
  return all;
}

class TransformerPrior::CachedSteps final : public Prior::Steps {
 public:
  explicit CachedSteps(const TransformerPrior& prior)
      : prior_(prior), caches_(prior.blocks_.size()) {}

  Tensor next(const std::vector<int32_t>& previous) override {
    const NoGradGuard no_grad;
    const int64_t t = place_++;
    std::vector<int32_t> numbers = previous;
    if (t > 0)
      for (int32_t& number : numbers)
        number += static_cast<int32_t>(prior_.sequence().offset_at(t - 1));
    const Tensor input =
        ops::gather_rows((t == 0 ? prior_.start_ : prior_.tokens_).value(),
                         Tensor::from(numbers, {std::ssize(numbers)}, prior_.device_));
    const Tensor position = prior_.positions_.value().rows(t, t + 1).reshape({input.dim(1)});
    Tensor x = ops::binary_rows(input, position, BinaryOp::add);
    for (size_t i = 0; i < caches_.size(); ++i) x = prior_.blocks_[i].next(x, caches_[i]);
    return prior_.heads_[prior_.sequence().level_at(t)](prior_.norm_(Variable(x))).value();
  }

 private:
  const TransformerPrior& prior_;
  std::vector<KeyValueCache> caches_;  // of the blocks
  int64_t place_ = 0;
};

std::unique_ptr<Prior::Steps> TransformerPrior::begin(int64_t) const {
  return std::make_unique<CachedSteps>(*this);
}

nlohmann::ordered_json TransformerPrior::config() const {
  return {{"network", "transformer"},
          {"layers", options_.layers},
          {"width", options_.width},
          {"heads", options_.heads},
          {"dropout", options_.dropout}};
}

std::vector<std::pair<std::string, Tensor>> TransformerPrior::counters() {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < blocks_.size(); ++i)
    for (auto& [name, counter] : blocks_[i].counters())
      all.emplace_back(str("blocks.", i, ".", name), counter);
  return all;
}

int32_t draw_symbol(std::span<const float> logits, const SamplingOptions& options, double u) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (options.temperature == 0) return static_cast<int32_t>(largest - logits.begin());
  std::vector<double> p(logits.size());
  for (size_t k = 0; k < p.size(); ++k)
    p[k] = std::exp((static_cast<double>(logits[k]) - *largest) / options.temperature);
  const auto K = std::ssize(p);
  if ((options.top_k > 0 && options.top_k < K) || options.top_p < 1) {
    std::vector<int32_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return p[a] > p[b]; });
    const auto most = options.top_k > 0 ? std::min<int64_t>(options.top_k, K) : K;
    const double enough = options.top_p * std::accumulate(p.begin(), p.end(), 0.0);
    double kept = 0;
    for (int64_t i = 0; i < K; ++i) {
      if (i >= most || (i > 0 && kept >= enough)) p[order[i]] = 0;
      kept += p[order[i]];
    }
  }
  double left = u * std::accumulate(p.begin(), p.end(), 0.0);
  int32_t last = 0;
  for (int32_t k = 0; k < K; ++k) {
    if (p[k] == 0) continue;
    last = k;
    left -= p[k];
    if (left < 0) break;
  }
  return last;
}

Tensor sample(const Prior& prior, const std::vector<int32_t>& labels,
              const SamplingOptions& options, int64_t first) {
  const int64_t N = std::ssize(labels), T = prior.sequence().length();
  Tensor sequences({N, T}, DType::i32);
  const Rng rng(options.seed);
  for (int64_t begin = 0; begin < N; begin += kAtOnce) {
    const int64_t end = std::min(begin + kAtOnce, N);
    std::vector<int32_t> previous(labels.begin() + begin, labels.begin() + end);
    const auto steps = prior.begin(end - begin);
    for (int64_t t = 0; t < T; ++t) {
      const std::vector<float> logits = steps->next(previous).to_vector<float>();
      const size_t K = logits.size() / previous.size();
      for (int64_t n = begin; n < end; ++n) {
        const auto bits =
            rng.split(static_cast<uint64_t>(first + n)).block(static_cast<uint64_t>(t));
        const double u = static_cast<double>((uint64_t{bits[0]} << 32 | bits[1]) >> 11) * 0x1p-53;
        const size_t i = static_cast<size_t>(n - begin);
        previous[i] = draw_symbol(std::span(logits).subspan(i * K, K), options, u);
        sequences.data<int32_t>()[n * T + t] = previous[i];
      }
    }
  }
  return sequences;
}

std::vector<double> bits_per_symbol(const Prior& prior, const Tensor& sequences,
                                    const std::vector<int32_t>& labels) {
  const NoGradGuard no_grad;
  const int64_t N = sequences.dim(0);
  std::vector<double> bits(prior.sequence().levels().size());
  for (int64_t begin = 0; begin < N; begin += kAtOnce) {
    const int64_t end = std::min(begin + kAtOnce, N);
    const auto losses =
        prior.losses(sequences.rows(begin, end), {labels.begin() + begin, labels.begin() + end});
    for (size_t level = 0; level < bits.size(); ++level)
      bits[level] += static_cast<double>(losses[level].item()) / std::numbers::ln2 *
                     static_cast<double>(end - begin) / static_cast<double>(N);
  }
  return bits;
}

nlohmann::ordered_json config_of(const Prior& prior) {
  auto levels = nlohmann::ordered_json::array();
  for (const SymbolLevel& level : prior.sequence().levels())
    levels.push_back({level.codes, level.layers, level.height, level.width});
  nlohmann::ordered_json config = {
      {"task", "prior"}, {"levels", levels}, {"classes", prior.no_class()}};
  config.update(prior.config());
  return config;
}

namespace {

// A whole number of a config, in a range.
int64_t count_of(const nlohmann::ordered_json& number, int64_t least, int64_t most) {
  check(number.is_number_integer(), "size", number.dump(), " is no whole number");
  const auto n = number.get<int64_t>();
  check(least <= n && n <= most, "size", n, " is not in ", least, "..", most);
  return n;
}

// The network that a config describes. Throws one of the standard exceptions if it is malformed, or
// larger than a file of so many bytes can hold.
std::unique_ptr<Prior> network_of(const nlohmann::ordered_json& config, uintmax_t bytes,
                                  Device device) {
  check(config.at("task") == "prior", "task", "it is another network");
  std::vector<SymbolLevel> levels;
  for (const auto& level : config.at("levels"))
    levels.push_back({count_of(level.at(0), 1, 65536), count_of(level.at(1), 1, 65536),
                      count_of(level.at(2), 1, 65536), count_of(level.at(3), 1, 65536)});
  const int64_t layers = count_of(config.at("layers"), 1, 64),
                width = count_of(config.at("width"), 1, 4096),
                classes = count_of(config.at("classes"), 0, 65536);
  double rows = static_cast<double>(12 * width * layers + classes);
  for (const SymbolLevel& l : levels)
    rows += static_cast<double>(l.layers * l.codes) +
            static_cast<double>(l.layers * l.height) * static_cast<double>(l.width);
  check(rows * static_cast<double>(width) * sizeof(float) <= 2 * static_cast<double>(bytes), "size",
        "the network would be larger than the file");
  const SymbolSequence sequence(std::move(levels));
  const Rng rng(0);
  if (config.at("network") == "pixelcnn")
    return std::make_unique<GatedPixelCnn>(sequence, PixelCnnOptions{layers, width, classes}, rng,
                                           device);
  check(config["network"] == "transformer", "network", "it is of an unknown kind");
  const PriorOptions options{layers, width, count_of(config.at("heads"), 1, width), classes,
                             config.at("dropout").get<double>()};
  return std::make_unique<TransformerPrior>(sequence, options, rng, device);
}

}  // namespace

LoadedPrior load_prior(const std::string& path, Device device) {
  const nlohmann::ordered_json config = network_config(path);
  LoadedPrior loaded;
  try {
    loaded.prior = network_of(config, std::filesystem::file_size(weights_in(path)), device);
    loaded.first_stage = config.at("first_stage");
  } catch (const std::exception& e) {
    fail("prior", path, " has no prior: ", e.what());
  }
  load_network(*loaded.prior, path);
  return loaded;
}

LoadedPrior load_prior(const std::string& path, Device device, const std::string& model) {
  LoadedPrior loaded = load_prior(path, device);
  check(loaded.first_stage == fingerprint_of_weights(model), "prior", path,
        " was trained on the symbols of another model than ", model);
  return loaded;
}

}  // namespace versor
