// model.safetensors: what its metadata say, the same model from it bit for bit, files that are
// foreign or broken, and trainings that begin with given weights.
#include <nlohmann/json.hpp>

#include "experiments/run/metrics.h"
#include "experiments/run/model_file.h"
#include "experiments/run/quantizer_variants.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/experiments/run_options.h"

namespace versor::testing {
namespace {

using Json = nlohmann::ordered_json;

// Small models of every quantizer, estimator and structure.
std::vector<std::string> variants() {
  std::vector<std::string> all = {"--preset published",
                                  "--preset best --codebook-dim 4",
                                  "--layers 2 --shared-codebook",
                                  "--groups 2 --shared-codebook",
                                  "--quantizer fsq --levels 4,2",
                                  "--quantizer lfq",
                                  "--quantizer bsq --groups 2",
                                  "--quantizer simvq --layers 2",
                                  "--rotation-origin mean",
                                  "--estimator diveq --diveq-noise 0.1",
                                  "--owner gradient --cosine",
                                  "--model vqvae2 --quantizer bsq",
                                  "--groups 2 --layers 2 --codebook-dim 3",
                                  "--downsampling 8"};
  for (const std::string& estimator : names_of<Estimator>())
    all.push_back("--estimator " + estimator);
  return all;
}

RunOptions small(const std::string& variant) {
  return parsed("--data synthetic --latent 8 --batch-size 8 --precision fp32 --threads 1 " +
                std::string(contains(variant, "fsq") ? "" : "--codes 8 ") + variant);
}

// The file of an untrained model whose codes were moved once, by a training pass over images of
// these extents.
struct Written {
  std::unique_ptr<VqModel> model;
  Json config;
};
Written write(const std::string& path, const RunOptions& options,
              const Shape& image = {16, 16, 3}) {
  Written all{make_model(options, image[2], {}, Rng(3)), config(options)};
  const Tensor images = ops::uniform({4, image[0], image[1], image[2]}, Rng(4), -1, 1, {});
  all.model->start_codebooks(1, [&](int64_t) { return std::vector{images}; });
  const NoGradGuard no_grad;
  all.model->update({(*all.model)(images)});
  all.model->set_training(false);
  write_model_file(path, *all.model, options, all.config, image, 7);
  return all;
}

std::string load_error(const std::string& path) {
  const std::string error = error_of([&] { load_model(path); });
  CHECK(contains(error, path));
  CHECK(lines(error).size() == 1);
  return error;
}

}  // namespace

TEST_CASE("model file: every model comes back from it, and computes the same bits" * cpu_only()) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  const Tensor images = ops::uniform({3, 16, 24, 3}, Rng(5), -1, 1, {});
  const NoGradGuard no_grad;
  for (const std::string& variant : variants()) {
    CAPTURE(variant);
    const RunOptions options = small(variant);
    const Written written = write(path, options);
    const LoadedModel loaded = load_model(path);
    CHECK(*loaded.config == written.config);
    CHECK(loaded.image == Shape{16, 16, 3});
    CHECK(loaded.trained_epochs == 7);
    CHECK(!loaded.model->training());
    for (const RunOption& option : run_option_table())
      if (option.in_config != InConfig::never)
        CHECK(option.value(loaded.options) == option.value(options));
    const VqVaeOutput ours = (*written.model)(images), theirs = (*loaded.model)(images);
    CHECK((bits_of(ours.reconstruction.value()) == bits_of(theirs.reconstruction.value())));
    for (size_t level = 0; level < ours.levels.size(); ++level)
      CHECK((bits_of(ours.symbols()[level]) == bits_of(theirs.symbols()[level])));
  }
}

TEST_CASE("model file: the metadata name every option and size, in words" * cpu_only()) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  for (const std::string& variant : variants()) {
    CAPTURE(variant);
    const RunOptions options = small(variant);
    const Written written = write(path, options, {16, 24, 1});
    const auto metadata = read_safetensors(path).metadata;
    for (const RunOption& option : run_option_table())
      if (option.in_config != InConfig::never && !option.value(options).is_null())
        CHECK(metadata.at(option.key()) == text_of(option.value(options)));
    for (const auto& [key, value] : written.config.items())
      CHECK(metadata.at(key) == text_of(value));
    CHECK(Json::parse(metadata.at("config")) == written.config);
    CHECK(metadata.at("format") == "versor-model");
    CHECK(metadata.at("hidden") == "4");
    CHECK(metadata.at("image_height") == "16");
    CHECK(metadata.at("image_width") == "24");
    CHECK(metadata.at("image_channels") == "1");
    CHECK(metadata.at("trained_epochs") == "7");
    CHECK(load_model(path).model->options().image_channels == 1);
  }
}

TEST_CASE("model file: broken and foreign files are refused in one line" * cpu_only()) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  const RunOptions options = small("--layers 2 --estimator ste");
  write(path, options);
  const SafetensorsFile good = read_safetensors(path);
  const auto with = [&](const std::string& key, const std::string& value) {
    SafetensorsFile file = good;
    file.metadata[key] = value;
    if (value.empty()) file.metadata.erase(key);
    write_safetensors(path, file);
    return load_error(path);
  };
  const auto with_option = [&](const char* key, const Json& value) {
    Json changed = Json::parse(good.metadata.at("config"));
    changed[key] = value;
    return with("config", changed.dump());
  };
  CHECK(contains(with("format", ""), "does not say what model it holds"));
  CHECK(contains(with("format", "pt"), "does not say what model it holds"));
  CHECK(contains(with("format_version", "2"), "has version 2 of the format"));
  CHECK(contains(with("format_version", ""), "no format_version"));
  CHECK(contains(with("config", ""), "no config"));
  CHECK(contains(with("config", "{"), "malformed"));
  CHECK(contains(with("config", "[]"), "not an object"));
  CHECK(contains(with("config", std::string(40, '[') + std::string(40, ']')), "too deeply"));
  CHECK(contains(with("image_height", "-3"), "image_height"));
  CHECK(contains(with("image_width", "1e3"), "image_width"));
  CHECK(contains(with("image_channels", "1"), "its tensors are for 3 channels"));
  CHECK(contains(with("trained_epochs", ""), "trained_epochs"));
  CHECK(contains(with_option("latent", "eight"), "malformed"));
  CHECK(contains(with_option("estimator", Json::array({Json::array()})), "malformed"));
  CHECK(contains(with_option("quantizer", "best"), "malformed"));
  CHECK(contains(with_option("codes", 16), "codebook.weight has the shape [8,8]"));
  CHECK(contains(with_option("layers", 1), "no tensor \"codebook.weight\""));
  CHECK(contains(with_option("model", "vqvae2"), "encoder_bottom.0.weight"));
  CHECK(contains(with_option("groups", 3), "not a multiple of 3 groups"));
  CHECK(contains(with_option("estimator", "gumbel"), "gumbel"));
  // Options that promise more than the file holds take no memory.
  MemoryPool& pool = backend_for({}).pool();
  pool.reset_peak();
  const auto before = pool.peak_bytes();
  for (const auto& [key, value] : std::map<std::string, int64_t>{{"latent", 65536},
                                                                 {"codes", int64_t{1} << 30},
                                                                 {"codebook_dim", 65536},
                                                                 {"layers", 65536},
                                                                 {"groups", 65536}}) {
    CAPTURE(key);
    CHECK(contains(with_option(key.c_str(), value), "too few numbers"));
  }
  CHECK(pool.peak_bytes() - before < uint64_t{1} << 20);
  write_safetensors(path, good);
  const std::string bytes = read_file(path);
  write_file(path, bytes.substr(0, bytes.size() - 1));
  CHECK(!load_error(path).empty());
}

TEST_CASE("model file: files without metadata need the config beside them" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", path = folder + "/model.safetensors";
  REQUIRE(run(tiny(folder, "--epochs 1 --layers 2 --estimator ste")).code == 0);
  const SafetensorsFile file = read_safetensors(path);
  const auto weights = bits_of(load_model(folder).model->named_buffers()[0].second.value());
  write_safetensors(path, {file.tensors, {}});  // as before files had metadata
  for (const std::string& from : {folder, path}) {
    const LoadedModel loaded = load_model(from);
    CHECK(loaded.options.layers == 2);
    CHECK(loaded.trained_epochs == 1);
    CHECK(bits_of(loaded.model->named_buffers()[0].second.value()) == weights);
  }
  std::filesystem::rename(folder + "/config.json", folder + "/other.json");
  CHECK(contains(load_error(path), "there is no " + folder + "/config.json"));
  write_safetensors(path, file);  // a file with metadata needs no config
  CHECK(load_model(folder).options.layers == 2);
  std::string config = read_file(folder + "/other.json");
  write_file(folder + "/config.json", config.replace(config.find("\"seed\": 1"), 9, "\"seed\": 2"));
  CHECK(contains(error_of([&] { load_model(folder); }),
                 "the model of a run with --seed 1, asked for 2"));
  CHECK(load_model(path).options.seed == 1);
}

TEST_CASE("model file: --init begins with the weights and codes of a file" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string first = temporary / "first", path = first + "/model.safetensors";
  REQUIRE(run(tiny(first, "--epochs 2")).code == 0);
  const SafetensorsFile trained = read_safetensors(path);
  const auto begins_with = [&](const std::string& folder, const std::string& more) {
    const Ended ended = run(tiny(folder, more));
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    return read_safetensors(folder + "/snapshots/epoch-0000.safetensors");
  };
  // The codebook before the first step is the file's, not that of a k-means start; with a learning
  // rate and averages that move nothing, so is everything at the end.
  const std::string still = "--epochs 1 --lr 0 --decay 1 --dead-codes 0 --init ";
  const std::string second = temporary / "second";
  CHECK((bits_of(begins_with(second, still + path).at("codebook.weight", "")) ==
         bits_of(trained.tensors.at("codebook.weight"))));
  const auto after = read_safetensors(second + "/model.safetensors").tensors;
  for (const auto& [name, tensor] : trained.tensors) {
    CAPTURE(name);
    if (name != "codebook.weight") CHECK((bits_of(after.at(name)) == bits_of(tensor)));
  }
  // The file's content is part of the run, its name and metadata are not.
  const Json config = Json::parse(read_file(second + "/config.json")).at("options");
  CHECK(config.at("init_fingerprint") == fingerprint_of_weights(first));
  write_safetensors(temporary / "torch.safetensors", {trained.tensors, {}});
  CHECK(run(tiny(second, still + (temporary / "torch.safetensors"))).out.starts_with(second));
  CHECK(contains(run(tiny(second, still + (temporary / "torch.safetensors"))).out,
                 "finished before"));
  SafetensorsFile other = trained;
  other.tensors["ema_cluster_size"] = ops::full({8}, 3.f, {});
  write_safetensors(temporary / "other.safetensors", other);
  CHECK(contains(error_line(run(tiny(second, still + (temporary / "other.safetensors")))),
                 "--init with the content " + config.at("init_fingerprint").get<std::string>()));
  // What does not fit is named, all of it.
  other.tensors.erase("ema_dw");
  other.tensors["ema_cluster_size"] = ops::zeros({9});
  other.tensors["extra"] = ops::zeros({1});
  write_safetensors(temporary / "other.safetensors", other);
  const std::string error =
      error_line(run(tiny(temporary / "third", still + (temporary / "other.safetensors"))));
  for (const char* part : {"ema_cluster_size has the shape [9], the model needs [8]",
                           "no tensor \"ema_dw\"", "does not know the tensor \"extra\""})
    CHECK(contains(error, part));
  CHECK(contains(error_line(run(tiny(temporary / "third", "--init nowhere.safetensors"))),
                 "nowhere.safetensors"));
}

}  // namespace versor::testing
