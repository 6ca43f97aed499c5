// A run's options as its config: what changes results, the run's name, and what sets it apart from
// the paper's. See run_options.h.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/run/run_options.h"
#include "tensor/hash.h"

namespace versor {
namespace {

// Which images, in which order: the labels of both splits tell two orders apart.
std::string fingerprint(const DatasetPair& images) {
  uint64_t hash = hash_bytes(images.train.labels.data(), images.train.labels.size());
  hash = hash_bytes(images.test.labels.data(), images.test.labels.size(), hash);
  return fmt::format("{:016x}", hash);
}

// All options of model, quantizer and schedule that the paper's runs leave as they are.
nlohmann::ordered_json further_options(const RunOptions& o) {
  return {{"model", o.model},
          {"quantizer", o.quantizer},
          {"levels", o.levels},
          {"groups", o.groups},
          {"layers", o.layers},
          {"shared_codebook", o.shared_codebook},
          {"layer_dropout", o.layer_dropout},
          {"codebook_dim", *o.codebook_dim},
          {"cosine", o.cosine},
          {"temperature", o.temperature},
          {"soft_em", o.soft_em},
          {"orthogonality", o.orthogonality},
          {"diversity", o.diversity},
          {"entropy_weight", o.entropy_weight},
          {"warmup", *o.warmup},
          {"lr_schedule", *o.lr_schedule},
          {"validation_images", o.validation_images}};
}

nlohmann::ordered_json usual_further_options() {
  RunOptions usual;
  apply_preset(usual);
  return further_options(usual);
}

}  // namespace

nlohmann::ordered_json unusual_options(const RunOptions& o) {
  const auto here = further_options(o), usual = usual_further_options();
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [name, value] : here.items())
    if (value != usual[name]) all[name] = value;
  if (o.quantizer == "fsq") all["levels"] = o.levels;
  return all;
}

nlohmann::ordered_json config_of(const RunOptions& o, const DatasetPair& images) {
  nlohmann::ordered_json config = {{"estimator", *o.estimator},
                                   {"owner", *o.owner},
                                   {"codebook_start", *o.codebook_start},
                                   {"accumulators", *o.accumulators},
                                   {"dead_codes", *o.dead_codes},
                                   {"ema_in_eval", *o.ema_in_eval},
                                   {"codes", o.codes},
                                   {"latent", o.latent},
                                   {"beta", *o.beta},
                                   {"decay", *o.decay},
                                   {"lr", *o.lr},
                                   {"batch_size", o.batch_size},
                                   {"epochs", o.epochs},
                                   {"seed", o.seed},
                                   {"data", images.train.name},
                                   {"data_fingerprint", fingerprint(images)},
                                   {"train_images", images.train.size()},
                                   {"test_images", images.test.size()},
                                   {"device", o.device},
                                   {"precision", o.precision},
                                   {"threads", o.threads}};
  if (o.nondeterministic) config["nondeterministic"] = true;
  const auto unusual = unusual_options(o);
  for (const auto& [name, value] : unusual.items()) config[name] = value;
  // With it a shorter run is not the beginning of a longer one, so that epochs are named twice.
  if (*o.lr_schedule != "constant") config["lr_schedule_epochs"] = o.epochs;
  return config;
}

std::string run_name(const nlohmann::ordered_json& c) {
  const uint64_t hash = hash_text(c.dump());
  return fmt::format("{}-{}-k{}-d{}-beta{:g}-seed{}-{:08x}", c["estimator"].get<std::string>(),
                     c["codebook_start"].get<std::string>(), c["codes"].get<int64_t>(),
                     c["latent"].get<int64_t>(), c["beta"].get<double>(), c["seed"].get<uint64_t>(),
                     hash >> 32);
}

std::vector<std::string> differences_from_paper(const nlohmann::ordered_json& c, int64_t codes,
                                                int64_t epochs) {
  std::vector<std::string> all;
  const bool real = c["data"] == "CIFAR-10";
  if (!real) all.push_back(c["data"].get<std::string>());
  const auto part = [&](const char* key, int64_t paper, const char* what) {
    if (c[key] != paper || !real)
      all.push_back(fmt::format("{} of {} {}", c[key].get<int64_t>(), paper, what));
  };
  const auto other = [&](const char* key, const auto& paper, const char* what) {
    if (c[key] != paper)
      all.push_back(fmt::format("{} {} instead of {}", what, c[key].dump(), paper));
  };
  part("train_images", 50'000, "training images");
  part("test_images", 10'000, "test images");
  if (c["epochs"] != epochs)
    all.push_back(fmt::format("{} of {} epochs", c["epochs"].get<int64_t>(), epochs));
  other("latent", 256, "D");
  other("codes", codes, "K");
  other("batch_size", 128, "batch");
  other("lr", 2e-4, "learning rate");
  other("decay", 0.99, "decay");
  const auto usual = usual_further_options();
  for (const auto& option : usual.items())
    if (c.contains(option.key())) {
      const auto& value = c[option.key()];
      all.push_back(fmt::format("{} {}", option.key(),
                                value.is_string() ? value.get<std::string>() : value.dump()));
    }
  return all;
}

}  // namespace versor
