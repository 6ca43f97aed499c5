// The classifier: see classifier.h.
#include "experiments/generate/classifier.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/batcher.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/run/model_file.h"
#include "tensor/ops.h"

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kAtOnce = 250;  // images

// relu(norm(conv(x)))
class ConvNorm final : public Layer {
 public:
  ConvNorm(const ConvOptions& options, Rng rng, Device device)
      : conv_(options, rng, device), norm_(options.out, device) {
    register_module("conv", conv_);
    register_module("norm", norm_);
  }
  Variable operator()(const Variable& x) const override { return relu(norm_(conv_(x))); }

 private:
  Conv2d conv_;
  BatchNorm2d norm_;
};

// x + second(first(x))
class Residual final : public Layer {
 public:
  Residual(int64_t channels, Rng rng, Device device)
      : first_({channels, channels, 3, 1, 1}, rng.split(0), device),
        second_({channels, channels, 3, 1, 1}, rng.split(1), device) {
    register_module("0", first_);
    register_module("1", second_);
  }
  Variable operator()(const Variable& x) const override { return x + second_(first_(x)); }

 private:
  ConvNorm first_, second_;
};

}  // namespace

Classifier::Classifier(const ClassifierOptions& options, Rng rng, Device device)
    : options_(options), last_(4 * options.width, options.classes, rng.split(4), device) {
  const int64_t C = options.channels, W = options.width;
  body_.add<ConvNorm>("0", ConvOptions{C, 2 * W, 4, 2, 1}, rng.split(0), device);
  body_.add<ConvNorm>("1", ConvOptions{2 * W, 2 * W, 3, 1, 1}, rng.split(1), device);
  body_.add<MaxPool2d>("2", 2);
  body_.add<ConvNorm>("3", ConvOptions{2 * W, 4 * W, 3, 1, 1}, rng.split(2), device);
  body_.add<Residual>("4", 4 * W, rng.split(3), device);
  register_module("body", body_);
  register_module("last", last_);
}

Variable Classifier::features(const Variable& images) const {
  const Shape& shape = images.shape();
  check(shape.rank() == 4 && shape[3] == options_.channels && shape[1] >= 8 && shape[2] >= 8,
        "classifier", "takes images [N,H,W,", options_.channels, "] of at least 8 x 8 pixels, not ",
        shape);
  return global_avg_pool2d(body_(images));
}

Json config_of(const ClassifierOptions& o) {
  return {
      {"task", "classifier"}, {"channels", o.channels}, {"width", o.width}, {"classes", o.classes}};
}

// The sizes are those of tensors in the file, whatever its config says.
std::unique_ptr<Classifier> load_classifier(const std::string& path, Device device) {
  check(network_config(path).value("task", Json()) == "classifier", "classifier", path,
        " is no classifier");
  const std::string file = weights_in(path);
  const SafetensorsFile read = read_safetensors(file);
  const auto shape_of = [&](const char* name, int rank) {
    const Shape shape = read.at(name, file).shape();
    check(shape.rank() == rank && shape.numel() > 0, "classifier", file, ": ", name, " is ", shape);
    return shape;
  };
  const Shape first = shape_of("body.0.conv.weight", 4), deep = shape_of("body.4.0.conv.weight", 4),
              last = shape_of("last.weight", 2);
  const int64_t width = deep[0] / 4;
  check(deep == Shape{4 * width, 4 * width, 3, 3} && first == Shape{2 * width, first[1], 4, 4} &&
            last == Shape{last[0], 4 * width},
        "classifier", file, ": its tensors are not of one network: ", first, ", ", deep, ", ",
        last);
  auto classifier = std::make_unique<Classifier>(
      ClassifierOptions{.channels = first[1], .width = width, .classes = last[0]}, Rng(0), device);
  load_network(*classifier, path);
  return classifier;
}

Classified classify(const Classifier& classifier, const Dataset& set, Device device) {
  const NoGradGuard no_grad;
  const auto N = static_cast<double>(set.size());
  const Epoch images = Batcher(set, std::min(kAtOnce, set.size()), device).in_order();
  Classified all{Tensor({set.size(), 4 * classifier.options().width}, DType::f32), {}};
  for (int64_t b = 0; b < images.batches(); ++b) {
    const int64_t begin = std::ssize(all.labels), count = images.batch_count(b);
    const Variable features = classifier.features(Variable(images.batch(b))),
                   logits = classifier.logits(features);
    Tensor here = all.features.rows(begin, begin + count);
    ops::copy(here, features.value().to({}));
    for (int32_t label : ops::argmax(logits.value()).to_vector<int32_t>())
      all.labels.push_back(label);
    const Tensor labels = images.labels(b);
    all.loss += cross_entropy(logits, labels).item() * static_cast<double>(count) / N;
    all.accuracy += accuracy(logits.value(), labels).item() * static_cast<double>(count) / N;
  }
  return all;
}

}  // namespace versor
