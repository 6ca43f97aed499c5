// Use of a trained model: see model_use.h.
#include "experiments/run/model_use.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/formed_pictures.h"
#include "data/picture_folder.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_folder.h"

namespace versor {

ModelUse::ModelUse(Options& app) : app_(app) {
  for (const char* option :
       {"--device", "--precision", "--threads", "--max-memory", "--data", "--data-dir"})
    add_run_option(app, asked_, option);
}

LoadedModel ModelUse::load(const std::string& path, bool on_cpu) const {
  return load_model(path, [&](RunOptions& options) {
    if (on_cpu) {
      options.device = {};
      if (options.precision == Precision::tf32) options.precision = Precision::fp32;
    }
    if (app_.given("--device")) options.device = asked_.device;
    if (app_.given("--precision")) options.precision = asked_.precision;
    if (app_.given("--threads")) options.threads = asked_.threads;
    if (app_.given("--data")) {
      options.data = asked_.data;
      options.data_dir.clear();
    }
    if (app_.given("--data-dir")) options.data_dir = asked_.data_dir;
    options.max_memory = asked_.max_memory;
  });
}

namespace {

// A model's file does not say how its pictures were brought into form, only what came of it.
RunOptions with_form(const LoadedModel& loaded) {
  RunOptions options = loaded.options;
  const Shape& image = loaded.image;
  if (options.size == 0 && options.data.kind == DataKind::folder && image[0] == image[1]) {
    options.size = image[0];
    options.channels = image[2];
  }
  return options;
}

}  // namespace

DatasetPair images_of(const LoadedModel& loaded) {
  return images_of_run(with_form(loaded), *loaded.config, loaded.path);
}

Dataset images_of(const LoadedModel& loaded, RunImages which) {
  RunOptions options = with_form(loaded);
  const DatasetPair images = images_of_run(options, *loaded.config, loaded.path);
  if (which == RunImages::train) return images.train;
  if (which == RunImages::test && options.validation_images > 0) {
    options.validation_images = options.test_images = 0;
    return load_data(options).test;
  }
  if (which == RunImages::validation && options.validation_images == 0)
    throw UsageError("--images", "the run has no validation images");
  return images.test;
}

Dataset pictures_for(const LoadedModel& loaded, const std::string& path, int64_t size) {
  const PictureSet found =
      std::filesystem::is_directory(path) ? find_pictures(path) : find_picture(path);
  const FormedPictures formed(found, {.size = size, .channels = loaded.image[2]});
  const auto [height, width, channels] = formed.shape();
  const int64_t factor = loaded.model->pixels_per_latent(0);
  check(height % factor == 0 && width % factor == 0, "images", path, " has pictures of ", width,
        "x", height, " pixels, the model takes multiples of ", factor,
        ": --size crops and resizes them");
  Dataset set;
  set.images = Tensor({formed.size(), height, width, channels}, DType::u8);
  formed.read(0, formed.size(), set.images.data<uint8_t>());
  set.labels.resize(static_cast<size_t>(formed.size()));
  set.name = path;
  return set;
}

int64_t batch_for(const LoadedModel& loaded, int64_t height, int64_t width) {
  const double share =
      static_cast<double>(loaded.image[0] * loaded.image[1]) / static_cast<double>(height * width);
  const auto batch = static_cast<double>(loaded.options.batch_size);
  return std::max<int64_t>(1, static_cast<int64_t>(batch * std::min(1.0, share)));
}

}  // namespace versor
