// Options of a run: see run_options.h.
#include "experiments/run_options.h"

#include <fmt/format.h>
#include <omp.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/cifar10.h"
#include "data/synthetic.h"
#include "experiments/program.h"
#include "tensor/hash.h"

namespace versor {
namespace {

// What each preset switches on. `published`: as the runs behind the paper's tables were made.
struct Preset {
  const char *name, *estimator, *owner, *codebook_start, *accumulators;
  double dead_codes;
  bool ema_in_eval;
};
constexpr Preset kPresets[] = {{"versor", "rotation", "ema", "kmeans", "warm", 0.1, false},
                               {"published", "published", "both", "uniform", "zero", 0.0, true}};

// Which images, in which order: the labels of both splits tell two orders apart.
std::string fingerprint(const DatasetPair& images) {
  uint64_t hash = hash_bytes(images.train.labels.data(), images.train.labels.size());
  hash = hash_bytes(images.test.labels.data(), images.test.labels.size(), hash);
  return fmt::format("{:016x}", hash);
}

std::string data_folder(const RunOptions& options) {
  if (!options.data_dir.empty()) return options.data_dir;
  const char* environment = std::getenv("CIFAR10_DIR");
  return environment != nullptr && *environment != '\0' ? environment : "data/cifar-10-batches-bin";
}

template <class T>
T choice(const std::string& name, const std::string& value,
         std::initializer_list<std::pair<const char*, T>> choices) {
  for (const auto& [text, result] : choices)
    if (value == text) return result;
  throw UsageError(name, "unknown value " + value);
}

}  // namespace

void add_run_options(Options& app, RunOptions& o, const std::set<std::string>& without) {
  const auto at_least_1 = in_range(1, int64_t{1} << 30);
  app.add_option("--preset", o.preset, "versor: what we hold to be right; published: the paper's")
      ->check(one_of({"versor", "published"}))
      ->capture_default_str();
  app.add_option("--estimator", o.estimator, "gradient past the quantizer")
      ->check(one_of({"ste", "rotation", "reflection", "published", "rotation_unscaled"}));
  app.add_option("--owner", o.owner, "what moves the codebook")
      ->check(one_of({"ema", "gradient", "both"}));
  app.add_option("--codebook-start", o.codebook_start, "first codes")
      ->check(one_of({"uniform", "kmeans"}));
  app.add_option("--accumulators", o.accumulators, "first EMA statistics")
      ->check(one_of({"warm", "zero"}));
  app.add_option("--dead-codes", o.dead_codes,
                 "replace codes used less than this fraction of uniform use; 0: never")
      ->check(kFraction);
  app.add_option("--ema-in-eval", o.ema_in_eval, "evaluation updates the codebook too (0 or 1)");
  app.add_option("--codes", o.codes, "K, size of the codebook")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_option("--latent", o.latent, "D, length of a code")
      ->check(in_range(2, int64_t{1} << 16))
      ->capture_default_str();
  app.add_option("--decay", o.decay, "gamma of the EMA")->check(kFraction)->capture_default_str();
  app.add_option("--lr", o.lr, "Adam's learning rate")->check(kNotNegative)->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(at_least_1)->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(at_least_1)->capture_default_str();
  app.add_option("--train-images", o.train_images, "the first so many; default all")
      ->check(at_least_1);
  app.add_option("--test-images", o.test_images, "the first so many; default all")
      ->check(at_least_1);
  add_precision_option(app, o.precision);
  add_memory_option(app, o.max_memory);
  app.add_option("--device", o.device)->check(kDeviceName)->capture_default_str();
  app.add_option("--threads", o.threads, "default: all cores")->check(in_range(1, 4096));
  app.add_flag("--nondeterministic", o.nondeterministic,
               "allow faster GPU algorithms whose bits may differ from run to run");
  app.add_option("--data", o.data)->check(one_of({"cifar10", "synthetic"}))->capture_default_str();
  app.add_option("--data-dir", o.data_dir,
                 "folder of CIFAR-10's binary files; default $CIFAR10_DIR or "
                 "data/cifar-10-batches-bin");
  app.add_option("--beta", o.beta, "weight of the commitment loss")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--seed", o.seed)->check(kSeedNumber)->capture_default_str();
  for (const std::string& name : without) app.remove_option(name);
}

void apply_preset(RunOptions& o) {
  for (const Preset& p : kPresets) {
    if (o.preset != p.name) continue;
    if (!o.estimator) o.estimator = p.estimator;
    if (!o.owner) o.owner = p.owner;
    if (!o.codebook_start) o.codebook_start = p.codebook_start;
    if (!o.accumulators) o.accumulators = p.accumulators;
    if (!o.dead_codes) o.dead_codes = p.dead_codes;
    if (!o.ema_in_eval) o.ema_in_eval = p.ema_in_eval;
  }
}

void resolve_machine(RunOptions& o) {
  if (o.data == "synthetic" && !o.data_dir.empty())
    throw UsageError("--data-dir", "does not go with --data synthetic");
  if (o.train_images > 0 && o.batch_size > o.train_images)
    throw UsageError("--batch-size", fmt::format("{} is larger than the data: --train-images {}",
                                                 o.batch_size, o.train_images));
  const Device device = parse_device(o.device);
  limit_memory(o.max_memory, device);
  o.precision = resolve_precision(o.precision, device, !o.nondeterministic);
  if (o.threads == 0) o.threads = omp_get_max_threads();
  omp_set_num_threads(o.threads);
}

void resolve(RunOptions& o) {
  apply_preset(o);
  resolve_machine(o);
}

DatasetPair load_data(const RunOptions& o) {
  DatasetPair images = o.data == "synthetic"
                           ? synthetic_images(o.train_images > 0 ? o.train_images : 50'000,
                                              o.test_images > 0 ? o.test_images : 10'000)
                           : load_cifar10(data_folder(o));
  if (o.train_images > 0) images.train = head(images.train, o.train_images);
  if (o.test_images > 0) images.test = head(images.test, o.test_images);
  check(o.batch_size <= images.train.size(), "batch", "--batch-size ", o.batch_size,
        " is larger than the data: ", images.train.size(), " training images");
  return images;
}

VqVaeOptions model_options(const RunOptions& o) {
  VqVaeOptions m;
  m.estimator = parse_estimator(*o.estimator);
  m.codebook.codes = o.codes;
  m.codebook.latent = o.latent;
  m.codebook.decay = o.decay;
  m.codebook.owner =
      choice<Owner>("--owner", *o.owner,
                    {{"ema", Owner::ema}, {"gradient", Owner::gradient}, {"both", Owner::both}});
  m.codebook.start = choice<CodebookStart>(
      "--codebook-start", *o.codebook_start,
      {{"uniform", CodebookStart::uniform}, {"kmeans", CodebookStart::kmeans}});
  m.codebook.accumulators =
      choice<Accumulators>("--accumulators", *o.accumulators,
                           {{"warm", Accumulators::warm}, {"zero", Accumulators::zero}});
  m.codebook.dead_code_fraction = *o.dead_codes;
  m.codebook.ema_in_eval = *o.ema_in_eval;
  m.activations = activations_of(o.precision);
  return m;
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
                                   {"beta", o.beta},
                                   {"decay", o.decay},
                                   {"lr", o.lr},
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
  return all;
}

}  // namespace versor
