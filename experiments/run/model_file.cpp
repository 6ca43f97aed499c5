// Model files: see model_file.h.
#include "experiments/run/model_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "experiments/cli/version.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"
#include "experiments/run/run_folder.h"
#include "nn/safetensors.h"
#include "tensor/file.h"
#include "tensor/hash.h"

namespace versor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Metadata = std::map<std::string, std::string>;

constexpr const char *kFormat = "versor-model", *kFormatVersion = "1";
constexpr int64_t kLargestImage = 1 << 16;

// The first convolution, [hidden,C,4,4].
const char* first_weight(ModelKind kind) {
  return kind == ModelKind::vqvae2 ? "encoder_bottom.0.weight" : "encoder.0.weight";
}

bool is_ours(const SafetensorsFile& file) {
  const auto format = file.metadata.find("format");
  return format != file.metadata.end() && format->second == kFormat;
}

const std::string& entry(const Metadata& metadata, const char* key, const std::string& path) {
  const auto it = metadata.find(key);
  check(it != metadata.end(), "run", path, ": its metadata have no ", key);
  return it->second;
}

int64_t count_of(const Metadata& metadata, const char* key, int64_t most, const std::string& path) {
  const std::string& text = entry(metadata, key, path);
  const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  check(value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(most), "run",
        path, ": ", key, " in its metadata is \"", text, "\", not a number up to ", most);
  return value.get<int64_t>();
}

// The config in the metadata of a file of ours.
Json config_from(const SafetensorsFile& file, const std::string& path) {
  const std::string& version = entry(file.metadata, "format_version", path);
  check(version == kFormatVersion, "run", path, " has version ", version,
        " of the format; this program reads version ", kFormatVersion);
  Json config;
  try {
    config = parse_json<Json>(entry(file.metadata, "config", path), path);
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, ": the config in its metadata is malformed (", e.what(), ")");
  }
  check(config.is_object(), "run", path, ": the config in its metadata is not an object");
  return config;
}

// Throws Error unless both are configs of the same options. Which images they name is left to those
// who read images.
void check_same_run(const Json& of_file, const Json& of_folder, const std::string& path,
                    const std::string& config_path) {
  const auto options_in = [](const Json& config, const std::string& from) {
    return config_of(options_of(config, from), ImagesIdentity());
  };
  const Json theirs = options_in(of_file, path), ours = options_in(of_folder, config_path);
  check(theirs == ours, "run", path, " is the model of a run with ",
        differing_options(theirs, ours), " by ", config_path);
}

// Refuses options whose model the file could not fill, before it takes memory: the layers need more
// than 9 D^2 numbers, tables of learned or frozen codes and projections are in the file, and each
// part of a quantizer has a tensor. Grids are not in the file; theirs may be as large as 256 MiB.
void check_filled(const SafetensorsFile& file, const RunOptions& o, const std::string& path) {
  double numbers = 0;
  for (const auto& [name, tensor] : file.tensors) numbers += static_cast<double>(tensor.numel());
  const auto D = static_cast<double>(o.latent), groups = static_cast<double>(o.groups);
  const auto inner = static_cast<double>(*o.codebook_dim), K = static_cast<double>(o.codes);
  const double parts = o.shared_codebook ? 1 : groups * static_cast<double>(o.layers);
  const bool grid = o.quantizer != QuantizerKind::vq && o.quantizer != QuantizerKind::simvq;
  const double table = parts * K * (grid ? 16 : inner > 0 ? inner : D / groups);
  check(9 * D * D <= numbers && inner * D / groups <= numbers &&
            table <= (grid ? std::max(16 * numbers, 0x1p26) : numbers) &&
            parts <= static_cast<double>(file.tensors.size()),
        "run", path, " has too few numbers for a model of ", o.latent, " channels and ", o.codes,
        " codes: its tensors do not fit its options");
  const Shape& first = file.at(first_weight(o.model), path).shape();
  check(first.rank() == 4 && first[0] == o.latent / 2 && first[1] > 0, "run", path, ": ",
        first_weight(o.model), " has the shape ", first, ", the model needs [", o.latent / 2,
        ",channels,4,4]");
}

// The model of these options with the weights of the file. Errors name the file.
std::unique_ptr<VqModel> model_from(const SafetensorsFile& file, const RunOptions& options,
                                    const std::string& path) {
  check_filled(file, options, path);
  const int64_t channels = file.at(first_weight(options.model), path).dim(1);
  std::unique_ptr<VqModel> model;
  try {
    model = make_model(options, channels, options.device, Rng(0));
  } catch (const Error& e) {
    fail("run", path, ": ", e.what());
  }
  load_state_dict(*model, file, path);
  model->set_training(false);
  return model;
}

}  // namespace

void write_model_file(const std::string& path, const VqModel& model, const RunOptions& options,
                      const Json& config, const Shape& image, int64_t trained_epochs) {
  SafetensorsFile file{state_dict(model), {}};
  Metadata& all = file.metadata;
  for (const auto& [key, value] : config.items()) all[key] = text_of(value);
  for (const RunOption& option : run_option_table())
    if (const Json value = option.value(options);
        option.in_config != InConfig::never && !value.is_null())
      all[option.key()] = text_of(value);
  all["format"] = kFormat;
  all["format_version"] = kFormatVersion;
  all["versor_version"] = version();
  all["config"] = config.dump();
  all["hidden"] = str(model.options().hidden);
  all["image_height"] = str(image[0]);
  all["image_width"] = str(image[1]);
  all["image_channels"] = str(image[2]);
  all["normalisation"] = "byte * 2/255 - 1";
  all["trained_epochs"] = str(trained_epochs);
  write_safetensors(path, file);
}

std::string weights_in(const std::string& path) {
  std::error_code none;
  const bool file = path.ends_with(".safetensors") || fs::is_regular_file(path, none);
  return file ? path : path + "/model.safetensors";
}

void init_from(VqModel& model, const std::string& path) {
  const std::string weights = weights_in(path);
  load_state_dict(model, read_safetensors(weights), weights);
}

std::string fingerprint_of_weights(const std::string& path) {
  uint64_t hash = kHashStart;
  for (const auto& [name, tensor] : read_safetensors(weights_in(path)).tensors) {
    hash = hash_text(str(name, '\n', tensor.dtype(), tensor.shape(), '\n'), hash);
    hash = hash_bytes(tensor.address(), tensor.bytes(), hash);
  }
  return fmt::format("{:016x}", hash);
}

LoadedModel load_model(const std::string& path, const std::function<void(RunOptions&)>& change) {
  LoadedModel loaded;
  loaded.path = weights_in(path);
  const SafetensorsFile file = read_safetensors(loaded.path);
  std::string config_path = (fs::path(loaded.path).parent_path() / "config.json").string();
  Json config;
  if (is_ours(file)) {
    config = config_from(file, loaded.path);
    if (loaded.path != path && is_there(config_path)) {
      const Json of_folder = config_in(config_path);
      check_same_run(config, of_folder, loaded.path, config_path);
      config = of_folder;
    } else {
      config_path = loaded.path;
    }
    const auto extent = [&](const char* key) {
      return count_of(file.metadata, key, kLargestImage, loaded.path);
    };
    loaded.image = Shape{extent("image_height"), extent("image_width"), extent("image_channels")};
    loaded.trained_epochs =
        count_of(file.metadata, "trained_epochs", int64_t{1} << 30, loaded.path);
  } else {
    check(is_there(config_path), "run", loaded.path,
          " does not say what model it holds, and there is no ", config_path);
    config = config_in(config_path);
    loaded.image = Shape{32, 32, 3};  // before files said it, there was only CIFAR-10
  }
  loaded.options = options_of(config, config_path);
  if (config_path != loaded.path) take_source(loaded.options, source_in(config_path), config_path);
  if (!is_ours(file)) loaded.trained_epochs = loaded.options.epochs;
  if (change) change(loaded.options);
  try {
    resolve(loaded.options);
  } catch (const std::exception& e) {  // an error of usage, or of a device that is not there
    fail("run", "for the model in ", loaded.path, ": ", e.what());
  }
  loaded.config = std::make_shared<const Json>(std::move(config));
  loaded.model = model_from(file, loaded.options, loaded.path);
  check(loaded.model->options().image_channels == loaded.image[2], "run", loaded.path,
        ": its tensors are for ", loaded.model->options().image_channels,
        " channels, its metadata say ", loaded.image[2]);
  return loaded;
}

}  // namespace versor
