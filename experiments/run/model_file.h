// A trained model in one file, model.safetensors: the weights, and in the header's metadata all
// that makes the model again. Metadata are texts:
// - format "versor-model", format_version "1", versor_version;
// - config: the run's config as JSON, exactly as in config.json;
// - an entry for each option, as on a command line, usual values included: model, quantizer,
//   estimator, codes, latent, precision, ema_in_eval, seed, epochs, ... So readers in other
//   languages need no JSON and no defaults of ours;
// - data, data_fingerprint, train_images, test_images: the images it was trained on;
// - hidden: channels between image and latent;
// - image_channels, image_height, image_width;
// - normalisation: how bytes become the network's input;
// - trained_epochs: finished epochs, fewer than `epochs` in a run that has not ended.
// The commit is left out, so that two commits that compute the same write the same bytes; a run's
// config.json has it. Tensors have PyTorch's names and layouts (nn/safetensors.h);
// python/versor_torch.py makes the same model of them in PyTorch.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "experiments/run/run_options.h"

namespace versor {

// `options`: resolved ones; `config`: made of them (run_config.h); `image`: [H,W,C].
void write_model_file(const std::string& path, const VqModel& model, const RunOptions& options,
                      const nlohmann::ordered_json& config, const Shape& image,
                      int64_t trained_epochs);

struct LoadedModel {
  std::string path;                                      // of the file with the weights
  RunOptions options;                                    // the run's, resolved
  std::shared_ptr<const nlohmann::ordered_json> config;  // the run's
  Shape image;                                           // [H,W,C], what it was trained on
  int64_t trained_epochs = 0;
  std::unique_ptr<VqModel> model;  // on options.device, set to evaluate
};

// Makes the model that `path` holds, a run's folder or a file. A file without our metadata needs
// the run's config.json beside it; in a folder with both they must be of one run. `change`, if
// given, decides otherwise than the run did where and how to compute, or on what data: it gets the
// options before they are resolved. Throws Error naming the file if it is foreign, damaged or of a
// later version, or its tensors do not fit. Takes memory in proportion to the file.
LoadedModel load_model(const std::string& path,
                       const std::function<void(RunOptions&)>& change = {});

// Copies the weights, codes and buffers of a file, ours or PyTorch's, or of a run's folder into a
// model. Metadata do not matter: the tensors must fit. Throws Error naming those that do not.
void init_from(VqModel& model, const std::string& path);
// 16 hex digits of the hash of all tensors that init_from() would read, and their names.
std::string fingerprint_of_weights(const std::string& path);

// The file with the weights: `path` itself, or model.safetensors in it if it is a folder.
std::string weights_in(const std::string& path);

}  // namespace versor
