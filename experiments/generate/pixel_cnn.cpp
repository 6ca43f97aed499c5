// The gated PixelCNN: see pixel_cnn.h.
#include "experiments/generate/pixel_cnn.h"

#include <nlohmann/json.hpp>

#include "autograd/functions.h"
#include "nn/init.h"
#include "tensor/ops.h"

namespace versor {
namespace {

const SymbolLevel& only_level(const SymbolSequence& sequence) {
  check(sequence.levels().size() == 1 && sequence.levels()[0].layers == 1, "pixelcnn",
        "needs one level with one symbol for each latent");
  return sequence.levels()[0];
}

// tanh(a) sigmoid(b) of x [N,h,w,2W] + bias [N,2W] = (a, b).
Variable gate(const Variable& x, const Variable& bias) {
  const Shape s = x.shape();
  const int64_t W = s[3] / 2;
  const Variable all = rows(x + reshape(bias, {s[0], 1, 1, s[3]}));
  return reshape(tanh(slice(all, 0, W)) * sigmoid(slice(all, W, 2 * W)), {s[0], s[1], s[2], W});
}

// 1 for the taps of a 3x3 kernel that a stack may see, [2W,3,3,W]. Row 0 is the row above; the
// horizontal stack sees only its own row.
Tensor mask_of(const Shape& weight, bool vertical, bool first, Device device) {
  std::vector<float> taps(9);
  for (int i = 0; i < 9; ++i) {
    const int row = i / 3, column = i % 3;
    taps[static_cast<size_t>(i)] =
        vertical ? row < (first ? 1 : 2) : row == 1 && column < (first ? 1 : 2);
  }
  return ops::expand(Tensor::from(taps, {1, 3, 3, 1}, device), weight);
}

}  // namespace

class GatedPixelCnn::Layer final : public Module {
 public:
  Layer(int64_t width, int64_t classes, bool first, Rng rng, Device device)
      : first_(first),
        link_({.in = 2 * width, .out = 2 * width, .kernel = 1}, rng.split(0), device),
        mix_({.in = width, .out = width, .kernel = 1}, rng.split(1), device) {
    const Shape weight{2 * width, 3, 3, width};
    for (const bool vertical : {true, false}) {
      const std::string name = vertical ? "vertical" : "horizontal";
      Stack& stack = vertical ? vertical_ : horizontal_;
      stack.weight = register_parameter(
          name + ".weight",
          fan_in_uniform(weight, fan_in(weight), rng.split(vertical ? 2 : 3), device));
      stack.bias = register_parameter(name + ".bias", ops::zeros({classes + 1, 2 * width}, device));
      stack.mask = Variable(mask_of(weight, vertical, first, device));
    }
    register_module("link", link_);
    register_module("mix", mix_);
  }

  // v, h [N,h,w,W] of the stacks, labels i32 [N].
  void apply(Variable& v, Variable& h, const Tensor& labels) const {
    const Variable above = vertical_.seen(v), left = horizontal_.seen(h) + link_(above);
    v = gate(above, gather_rows(vertical_.bias, labels));
    const Variable added = mix_(gate(left, gather_rows(horizontal_.bias, labels)));
    h = first_ ? added : h + added;
  }

 private:
  struct Stack {
    Variable weight, bias, mask;  // [2W,3,3,W], [classes+1,2W], as weight
    Variable seen(const Variable& x) const {
      return conv2d(x, weight * mask, {}, {.stride = 1, .padding = 1});
    }
  };

  bool first_;
  Stack vertical_, horizontal_;
  Conv2d link_, mix_;
};

// A pass over all symbols for each that is drawn.
class GatedPixelCnn::WholePasses final : public Prior::Steps {
 public:
  WholePasses(const GatedPixelCnn& prior, int64_t images)
      : prior_(prior), drawn_(ops::zeros({images, prior.sequence().length()}, {}, DType::i32)) {}

  Tensor next(const std::vector<int32_t>& previous) override {
    const NoGradGuard no_grad;
    const int64_t N = drawn_.dim(0), T = drawn_.dim(1), t = place_++;
    if (t == 0) labels_ = previous;
    for (int64_t n = 0; t > 0 && n < N; ++n)
      drawn_.data<int32_t>()[n * T + t - 1] = previous[static_cast<size_t>(n)];
    const Tensor logits = prior_(drawn_, labels_)[0].value();
    const int64_t K = logits.dim(1);
    return ops::slice(logits.reshape({N, T * K}), t * K, (t + 1) * K);
  }

 private:
  const GatedPixelCnn& prior_;
  Tensor drawn_;
  std::vector<int32_t> labels_;
  int64_t place_ = 0;
};

GatedPixelCnn::GatedPixelCnn(SymbolSequence symbols, const PixelCnnOptions& options, Rng rng,
                             Device device)
    : Prior(std::move(symbols), options.classes),
      options_(options),
      device_(device),
      hidden_({.in = options.width, .out = options.width, .kernel = 1}, rng.split(0), device),
      head_({.in = options.width, .out = only_level(sequence()).codes, .kernel = 1}, rng.split(1),
            device) {
  const int64_t W = options.width;
  tokens_ = register_parameter("tokens.weight",
                               ops::normal({sequence().vocabulary(), W}, rng.split(2), device));
  for (int64_t i = 0; i < options.layers; ++i) {
    layers_.push_back(std::make_unique<Layer>(
        W, options.classes, i == 0, rng.split(3).split(static_cast<uint64_t>(i)), device));
    register_module(str("layers.", i), *layers_.back());
  }
  register_module("hidden", hidden_);
  register_module("head", head_);
}

GatedPixelCnn::~GatedPixelCnn() = default;

std::vector<Variable> GatedPixelCnn::operator()(const Tensor& sequences,
                                                const std::vector<int32_t>& labels) const {
  const SymbolLevel& level = only_level(sequence());
  const int64_t N = sequences.dim(0);
  check(sequences.shape() == Shape{N, level.length()} && std::ssize(labels) == N, "pixelcnn",
        "sequences ", sequences.shape(), " and ", labels.size(), " labels do not fit");
  const Tensor of_images = Tensor::from(labels, {N}, device_);
  const Tensor symbols = sequences.to(device_).reshape({N * level.length()});
  Variable v =
      reshape(gather_rows(tokens_, symbols), {N, level.height, level.width, options_.width});
  Variable h = v;
  for (const auto& layer : layers_) layer->apply(v, h, of_images);
  return {rows(head_(relu(hidden_(relu(h)))))};
}

std::unique_ptr<Prior::Steps> GatedPixelCnn::begin(int64_t images) const {
  return std::make_unique<WholePasses>(*this, images);
}

nlohmann::ordered_json GatedPixelCnn::config() const {
  return {{"network", "pixelcnn"}, {"layers", options_.layers}, {"width", options_.width}};
}

}  // namespace versor
