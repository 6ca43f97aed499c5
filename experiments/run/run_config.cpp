// A run's config: see run_config.h.
#include "experiments/run/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/run/model_file.h"
#include "experiments/run/option_table.h"
#include "tensor/hash.h"

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

// Characters without a special meaning in a shell.
constexpr const char* kPlain =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.,:/";

// Where the images came from.
const std::set<std::string> kSourceOptions = {"--data", "--data-dir", "--size", "--channels",
                                              "--test-fraction"};

// The default of an option, which commands and some configs leave out.
Json usual_value(const RunOption& option) {
  static const RunOptions usual = [] {
    RunOptions o;
    apply_preset(o);
    return o;
  }();
  return option.value(usual);
}

const RunOption* option_of(const std::string& key) {
  const auto& table = run_option_table();
  const auto it = std::find_if(table.begin(), table.end(),
                               [&](const RunOption& option) { return option.key() == key; });
  return it == table.end() ? nullptr : &*it;
}

// Labels count as bytes, as in CIFAR-10's files, unless one of them is larger.
uint64_t hash_of(const Dataset& set, uint64_t hash) {
  const std::vector<uint8_t> bytes(set.labels.begin(), set.labels.end());
  if (std::equal(bytes.begin(), bytes.end(), set.labels.begin()))
    hash = hash_words(bytes.data(), bytes.size(), hash);
  else
    hash = hash_words(set.labels.data(), set.labels.size() * sizeof(int32_t), hash);
  return hash_words(set.images.data<uint8_t>(), static_cast<size_t>(set.images.numel()), hash);
}

}  // namespace

std::string title_of(const std::string& key) {
  if (key == "data") return "images:";
  if (key == "data_fingerprint") return "pixels and labels:";
  if (key == "init_fingerprint") return "--init with the content";
  const RunOption* option = option_of(key);
  return option != nullptr ? option->name : key;
}

std::string value_in(const Json& config, const std::string& key) {
  if (config.contains(key)) return text_of(config[key]);
  const RunOption* option = option_of(key);
  const Json usual = option != nullptr ? usual_value(*option) : Json();
  return usual.is_null() ? "none" : text_of(usual);
}

ImagesIdentity identity_of(const DatasetPair& images) {
  const uint64_t hash = hash_of(images.test, hash_of(images.train, kHashStart));
  const Shape shape = images.train.images.shape();
  return {images.train.name,
          fmt::format("{:016x}", hash),
          images.train.size(),
          images.test.size(),
          shape[1],
          shape[2],
          shape[3]};
}

Json config_of(const RunOptions& o, const ImagesIdentity& images) {
  Json config;
  for (const RunOption& option : run_option_table())
    if (option.in_config == InConfig::always) config[option.key()] = option.value(o);
  config["data"] = images.name;
  config["data_fingerprint"] = images.hash;
  config["train_images"] = images.train;
  config["test_images"] = images.test;
  const std::vector<int64_t> shape = {images.height, images.width, images.channels};
  if (shape != std::vector<int64_t>{32, 32, 3}) config["image_shape"] = shape;
  for (const RunOption& option : run_option_table())
    if (option.in_config == InConfig::where_unusual && option.value(o) != usual_value(option))
      config[option.key()] = option.value(o);
  // With a schedule a shorter run is not the beginning of a longer one: this second entry, unlike
  // "epochs", must be equal when a run continues another.
  if (*o.lr_schedule != LrSchedule::constant) config["lr_schedule_epochs"] = o.epochs;
  if (!o.init.empty()) config["init_fingerprint"] = fingerprint_of_weights(o.init);
  return config;
}

Json config_of(const RunOptions& o, const DatasetPair& images) {
  return config_of(o, identity_of(images));
}

RunOptions options_of(const Json& config, const std::string& path) {
  Options app("");
  RunOptions options;
  std::string line;
  for (const RunOption& option : run_option_table()) {
    option.add(app, options);
    if (kSourceOptions.contains(option.name) || !config.contains(option.key())) continue;
    const std::string text = text_of(config[option.key()]);
    if (!option.is_flag)
      line += " " + option.name + " " + shell_quoted(text);
    else if (text == "1")
      line += " " + option.name;
  }
  try {
    app.parse(line);
    apply_preset(options);  // what a config leaves out is usual
    if (config.contains("image_shape")) {
      const auto shape = config["image_shape"].get<std::array<int64_t, 3>>();
      options.channels = shape[2];
      if (shape[0] == shape[1]) options.size = shape[0];  // changes nothing in images of that size
    }
  } catch (const UsageError& e) {
    fail("run", path, " is malformed: ", e.what());
  } catch (const Json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  return options;
}

Json source_of(const RunOptions& o) {
  const auto absolute = [](const std::string& folder) {
    return folder.empty() ? folder : std::filesystem::absolute(folder).lexically_normal().string();
  };
  Json source;
  for (const RunOption& option : run_option_table())
    if (kSourceOptions.contains(option.name)) source[option.key()] = option.value(o);
  if (o.data.kind == DataKind::folder) source["data"] = absolute(o.data.folder);
  source["data_dir"] = absolute(o.data_dir);
  return source;
}

void take_source(RunOptions& o, const Json& source, const std::string& path) {
  try {
    if (source.contains("data")) o.data = parse_source(source["data"].get<std::string>());
    if (source.contains("data_dir")) o.data_dir = source["data_dir"].get<std::string>();
    o.size = source.value("size", o.size);
    o.channels = source.value("channels", o.channels);
    o.test_fraction = source.value("test_fraction", o.test_fraction);
  } catch (const Json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  // CIFAR-10 has a usual place too; other images that have moved are missed by their old one.
  std::error_code ignored;
  if (o.data.kind == DataKind::cifar10 && !std::filesystem::is_directory(o.data_dir, ignored))
    o.data_dir.clear();
}

std::string run_name(const Json& c) {
  const uint64_t hash = hash_text(c.dump());
  return fmt::format("{}-{}-k{}-d{}-beta{:g}-seed{}-{:08x}", c["estimator"].get<std::string>(),
                     c["codebook_start"].get<std::string>(), c["codes"].get<int64_t>(),
                     c["latent"].get<int64_t>(), c["beta"].get<double>(), c["seed"].get<uint64_t>(),
                     hash >> 32);
}

Json beginning_of(Json config, int64_t epochs, const std::string& path) {
  if (config.contains("lr_at")) {
    RunOptions o = options_of(config, path);
    std::erase_if(o.lr_at, [&](const LrChange& change) { return change.epoch > epochs; });
    config["lr_at"] = option_of("lr_at")->value(o);
    if (o.lr_at.empty()) config.erase("lr_at");
  }
  config["epochs"] = epochs;
  return config;
}

std::string train_command(const RunOptions& o) {
  std::string line = "bin/train";
  for (const RunOption& option : run_option_table()) {
    if (option.name == "--preset") continue;  // its decisions are listed option by option
    const Json value = option.value(o), usual = usual_value(option);
    if (value.is_null() || (option.in_config != InConfig::always && value == usual)) continue;
    line += " " + option.name;
    if (option.is_flag) continue;
    const std::string text = text_of(value);
    const bool plain = text.find_first_not_of(kPlain) == std::string::npos;
    line += " " + (plain ? text : shell_quoted(text));
  }
  return line;
}

std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string differing_options(const Json& held, const Json& asked, const std::string& between) {
  std::string all;
  const auto add = [&](const std::string& key) {
    const std::string of_held = value_in(held, key), of_asked = value_in(asked, key);
    if (of_held != of_asked)
      all += fmt::format("{}{} {}{}{}", all.empty() ? "" : ", and ", title_of(key), of_held,
                         between, of_asked);
  };
  for (const auto& entry : held.items()) add(entry.key());
  for (const auto& entry : asked.items())
    if (!held.contains(entry.key())) add(entry.key());
  return all.empty() ? "other options" : all;
}

std::vector<std::string> differences_from_paper(const Json& c, int64_t codes, int64_t epochs) {
  std::vector<std::string> all;
  const bool real = c["data"] == "CIFAR-10";
  if (!real) all.push_back(c["data"].get<std::string>());
  const auto part = [&](const char* key, int64_t paper, const char* what) {
    if (c.contains(key) && (c[key] != paper || !real))
      all.push_back(fmt::format("{} of {} {}", c[key].get<int64_t>(), paper, what));
  };
  const auto other = [&](const char* key, const auto& paper, const char* what) {
    if (c.contains(key) && c[key] != paper)
      all.push_back(fmt::format("{} {} instead of {}", what, c[key].dump(), paper));
  };
  part("train_images", 50'000, "training images");
  part("test_images", 10'000, "test images");
  if (c.contains("epochs") && c["epochs"] != epochs)
    all.push_back(fmt::format("{} of {} epochs", c["epochs"].get<int64_t>(), epochs));
  other("latent", 256, "D");
  other("codes", codes, "K");
  other("batch_size", 128, "batch");
  other("lr", 2e-4, "learning rate");
  other("decay", 0.99, "decay");
  for (const RunOption& option : run_option_table())
    if (option.in_config == InConfig::where_unusual && c.contains(option.key()))
      all.push_back(fmt::format("{} {}", option.key(), text_of(c[option.key()])));
  if (c.contains("init_fingerprint")) all.push_back("given weights at the start");
  return all;
}

}  // namespace versor
