// Judging images: see image_judge.h.
#include "experiments/generate/image_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/batcher.h"
#include "data/image_grid.h"

namespace versor {

Dataset as_bytes(const Tensor& images, const std::vector<int32_t>& labels,
                 const std::string& name) {
  Dataset set{Tensor(images.shape(), DType::u8), labels, name};
  const float* values = images.data<float>();
  auto* bytes = set.images.data<uint8_t>();
  for (int64_t i = 0; i < images.numel(); ++i) {
    check(!std::isnan(values[i]), "judge", name, ": an image has a NaN");
    bytes[i] = static_cast<uint8_t>(std::lround((std::clamp(values[i], -1.f, 1.f) + 1) * 127.5f));
  }
  return set;
}

Dataset chosen(const Dataset& set, const std::vector<int32_t>& numbers, const std::string& name) {
  const Shape& all = set.images.shape();
  Dataset some{Tensor({std::ssize(numbers), all[1], all[2], all[3]}, DType::u8), {}, name};
  const int64_t bytes = set.images.numel() / set.size();
  auto* to = some.images.data<uint8_t>();
  for (int32_t number : numbers) {
    to = std::copy_n(set.images.data<uint8_t>() + number * bytes, bytes, to);
    some.labels.push_back(set.labels[number]);
  }
  return some;
}

Tensor pixels_of(const Dataset& set) {
  return Batcher(set, set.size()).in_order().batch(0);
}

ImageJudge::ImageJudge(const JudgeOptions& options, const Dataset& train, Device device)
    : options_(options), classifier_(load_classifier(options.classifier, device)), device_(device) {
  check(0 < options.count && options.count <= train.size() / 2, "judge", options.count,
        " images are more than half of the ", train.size(), " training images");
  std::vector<int32_t> order;
  for (int64_t i = 0; i < train.size(); ++i)
    order.push_back(static_cast<int32_t>(
        Rng(options.seed).permute(static_cast<uint32_t>(i), static_cast<uint32_t>(train.size()))));
  const auto middle = order.begin() + options.count;
  apart_ = chosen(train, {order.begin(), middle}, "other training images");
  reference_ = chosen(train, {middle, order.end()}, "training images");
  features_ = classify(*classifier_, reference_, device).features;
  moments_ = moments_of(features_);
  table_ = {.file = "generation",
            .title = "Samples beside real images",
            .notes = {fmt::format(
                          "Compared with {} training images by {} features of a classifier of our "
                          "own: no number here is an FID, nor comparable with one.",
                          reference_.size(), features_.dim(1)),
                      "Fréchet distance: squared, of normal distributions with the features' means "
                      "and covariances (Dowson and Landau 1982). Of few images it is too large; "
                      "without bias: extrapolated to infinitely many (Chong and Forsyth 2020).",
                      "Precision, recall: what part of the images is near training images, and the "
                      "reverse (Kynkäänniemi et al. 2019, k = 3), of equally many. To the nearest: "
                      "the mean distance to the nearest training image."},
            .columns = {"images", "number", "Fréchet distance", "without bias", "precision",
                        "recall", "accuracy of the class", "to the nearest"}};
}

void ImageJudge::add(const Dataset& set, bool has_classes) {
  const Classified seen = classify(*classifier_, set, device_);
  const Nearest nearest = nearest_in(seen.features, features_);
  const double away = std::accumulate(nearest.distance.begin(), nearest.distance.end(), 0.0);
  const PrecisionRecall near = precision_recall(features_.rows(0, set.size()), seen.features);
  const auto number = [](double value) { return fmt::format("{:#.4g}", value); };
  table_.rows.push_back({set.name, std::to_string(set.size()),
                         number(frechet_distance(moments_, moments_of(seen.features))),
                         number(frechet_limit(moments_, seen.features, Rng(options_.seed))),
                         number(near.precision), number(near.recall),
                         has_classes ? number(seen.accuracy) : "",
                         number(away / static_cast<double>(set.size()))});
  if (options_.png.empty()) return;
  std::string folder = set.name;
  std::replace(folder.begin(), folder.end(), ' ', '-');
  write_png_files(options_.png + "/" + folder, pixels_of(set));
}

double ImageJudge::distance(const Dataset& set) const {
  return frechet_distance(moments_, moments_of(classify(*classifier_, set, device_).features));
}

std::vector<int32_t> ImageJudge::nearest(const Dataset& set) const {
  return nearest_in(classify(*classifier_, set, device_).features, features_).index;
}

}  // namespace versor
