// Options of a run: see run_options.h.
#include "experiments/run/run_options.h"

#include <fmt/format.h>
#include <omp.h>

#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "data/cifar10.h"
#include "data/synthetic.h"
#include "experiments/cli/program.h"
#include "tensor/environment.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor {
namespace {

// What each preset switches on. `published`: as the runs behind the paper's tables were made.
// `best`: the least error on held-back training images, see experiments/recorded/README.md.
struct Preset {
  const char *name, *estimator, *owner, *codebook_start, *accumulators;
  double dead_codes;
  bool ema_in_eval;
  double beta, decay, lr;
  const char* lr_schedule;
  int64_t codebook_dim, warmup;
};
constexpr Preset kPresets[] = {
    {"versor", "rotation", "ema", "kmeans", "warm", 0.1, false, 0.25, 0.99, 2e-4, "constant", 0, 0},
    {"published", "published", "both", "uniform", "zero", 0, true, 0.25, 0.99, 2e-4, "constant", 0,
     0},
    {"best", "ste", "ema", "kmeans", "warm", 0.1, false, 0.25, 0.9, 2e-3, "cosine", 16, 500}};

std::string data_folder(const RunOptions& options) {
  if (!options.data_dir.empty()) return options.data_dir;
  return environment("CIFAR10_DIR").value_or("data/cifar-10-batches-bin");
}

template <class T>
T choice(const std::string& name, const std::string& value,
         std::initializer_list<std::pair<const char*, T>> choices) {
  for (const auto& [text, result] : choices)
    if (value == text) return result;
  throw UsageError(name, "unknown value " + value);
}

// "8,5,5,5"; an Error for anything else.
std::vector<int64_t> parse_levels(const std::string& text) {
  std::vector<int64_t> levels;
  std::istringstream parts(text + ",");  // the comma makes an empty end visible
  for (std::string part; std::getline(parts, part, ',');) {
    int64_t level = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), level);
    if (error != std::errc() || stop != part.data() + part.size())
      throw UsageError("--levels", "\"" + part + "\" is not a number");
    levels.push_back(level);
  }
  return levels;
}

void add_quantizer_options(Options& app, RunOptions& o) {
  const auto at_least_1 = in_range(1, 1 << 16);
  app.add_option("--quantizer", o.quantizer,
                 "learned codes (vq), frozen ones under a learned map (simvq), or a fixed grid")
      ->check(one_of({"vq", "simvq", "fsq", "lfq", "bsq"}))
      ->capture_default_str();
  app.add_option("--levels", o.levels, "of fsq: levels of each dimension")->capture_default_str();
  app.add_option("--groups", o.groups, "parts of the latent, each quantized by itself")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_option("--layers", o.layers, "residual quantization in so many steps")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_flag("--shared-codebook", o.shared_codebook, "one codebook for all groups or layers");
  app.add_flag("--layer-dropout", o.layer_dropout, "train with the first few layers at random");
  app.add_option(
         "--codebook-dim", o.codebook_dim,
         "length of a code behind a projection; 0: none, but grids have their own; default: "
         "the preset's")
      ->check(in_range(0, 1 << 16));
  app.add_flag("--cosine", o.cosine, "codes and latents are compared at length 1");
  app.add_option("--temperature", o.temperature,
                 "of gumbel and of codes drawn with ste; 0: the nearest code, and 0.01 for gumbel")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--soft-em", o.soft_em, "temperature of soft assignments in the EMA; 0: hard")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--orthogonality", o.orthogonality, "weight of the codes' orthogonality loss")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--diversity", o.diversity, "weight of the loss for even use of codes")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--entropy-weight", o.entropy_weight, "of the entropy loss of lfq and bsq")
      ->check(kNotNegative)
      ->capture_default_str();
}

// What only a codebook of moving averages has; and what estimators need that train codes.
void apply_quantizer(RunOptions& o) {
  if (o.quantizer == "fsq") {
    o.codes = 1;
    for (int64_t level : parse_levels(o.levels)) {
      if (level < 2 || level > (1 << 16) / o.codes)
        throw UsageError("--levels", "needs at least 2 of each dimension and at most 65536 codes");
      o.codes *= level;
    }
  }
  const bool learned = o.quantizer == "vq", grid = !learned && o.quantizer != "simvq";
  if (grid && !o.estimator) o.estimator = "ste";
  const bool draws =
      o.temperature > 0 || (o.estimator && (*o.estimator == "gumbel" || *o.estimator == "diveq"));
  if ((!learned || draws) && !o.owner) o.owner = "gradient";
  if (!learned) {
    o.codebook_start = "uniform";
    o.accumulators = "warm";
    o.dead_codes = 0;
  }
}

// Refuses what the kind of quantizer would ignore. What it has anyway may be said: programs that
// list their runs do.
void refuse_ignored(const RunOptions& o) {
  const RunOptions defaults;
  const auto refuse = [&](bool given, const char* option, const char* kinds) {
    if (given)
      throw UsageError(option, fmt::format("is of --quantizer {}, not of {}", kinds, o.quantizer));
  };
  const bool learned = o.quantizer == "vq";
  refuse(o.levels != defaults.levels && o.quantizer != "fsq", "--levels", "fsq");
  refuse(
      o.entropy_weight != defaults.entropy_weight && o.quantizer != "lfq" && o.quantizer != "bsq",
      "--entropy-weight", "lfq and bsq");
  if (!learned) {
    refuse(o.owner.value_or("gradient") != "gradient", "--owner", "vq");
    refuse(o.codebook_start.value_or("uniform") != "uniform", "--codebook-start", "vq");
    refuse(o.accumulators.value_or("warm") != "warm", "--accumulators", "vq");
    refuse(o.dead_codes.value_or(0) != 0, "--dead-codes", "vq");
    refuse(o.ema_in_eval.value_or(false), "--ema-in-eval", "vq");
  }
  if (o.quantizer != "fsq" || o.codes == defaults.codes) return;
  const std::vector<int64_t> levels = parse_levels(o.levels);
  const double product = std::accumulate(levels.begin(), levels.end(), 1.0, std::multiplies<>());
  if (product != static_cast<double>(o.codes))
    throw UsageError("--codes",
                     fmt::format("fsq has as many codes as its --levels make, {:.0f}", product));
}

}  // namespace

void add_run_options(Options& app, RunOptions& o, const std::set<std::string>& without) {
  const auto at_least_1 = in_range(1, int64_t{1} << 30);
  app.add_option("--preset", o.preset,
                 "versor: what we hold to be right; published: the paper's; best: the least error")
      ->check(one_of({"versor", "published", "best"}))
      ->capture_default_str();
  app.add_option("--estimator", o.estimator, "gradient past the quantizer; default: the preset's")
      ->check(one_of(
          {"ste", "rotation", "reflection", "published", "rotation_unscaled", "gumbel", "diveq"}));
  app.add_option("--owner", o.owner, "what moves the codebook; default: the preset's")
      ->check(one_of({"ema", "gradient", "both"}));
  app.add_option("--codebook-start", o.codebook_start, "first codes; default: the preset's")
      ->check(one_of({"uniform", "kmeans"}));
  app.add_option("--accumulators", o.accumulators, "first EMA statistics; default: the preset's")
      ->check(one_of({"warm", "zero"}));
  app.add_option(
         "--dead-codes", o.dead_codes,
         "replace codes used less than this fraction of uniform use; 0: never; default: the "
         "preset's")
      ->check(kFraction);
  app.add_option("--ema-in-eval", o.ema_in_eval,
                 "evaluation updates the codebook too (0 or 1); default: the preset's");
  app.add_option("--model", o.model, "one level of latents (vqvae) or two (vqvae2)")
      ->check(one_of({"vqvae", "vqvae2"}))
      ->capture_default_str();
  app.add_option("--codes", o.codes, "K, size of the codebook")
      ->check(at_least_1)
      ->capture_default_str();
  app.add_option("--latent", o.latent, "D, length of a code")
      ->check(in_range(2, int64_t{1} << 16))
      ->capture_default_str();
  add_quantizer_options(app, o);
  app.add_option("--decay", o.decay, "gamma of the EMA; default: the preset's")->check(kFraction);
  app.add_option("--lr", o.lr, "Adam's learning rate; default: the preset's")->check(kNotNegative);
  app.add_option("--lr-schedule", o.lr_schedule,
                 "constant, or half a cosine down to 0 over all epochs; default: the preset's")
      ->check(one_of({"constant", "cosine"}));
  app.add_option("--warmup", o.warmup,
                 "steps in which the learning rate rises from 0; default: the preset's")
      ->check(in_range(0, int64_t{1} << 30));
  app.add_option("--batch-size", o.batch_size)->check(at_least_1)->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(at_least_1)->capture_default_str();
  app.add_option("--train-images", o.train_images, "the first so many; default all")
      ->check(at_least_1);
  app.add_option("--test-images", o.test_images, "the first so many; default all")
      ->check(at_least_1);
  app.add_option("--validation-images", o.validation_images,
                 "hold back the last so many training images and evaluate on them instead of the "
                 "test images")
      ->check(in_range(0, int64_t{1} << 30))
      ->capture_default_str();
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
  app.add_option("--beta", o.beta, "weight of the commitment loss; default: the preset's")
      ->check(kNotNegative);
  app.add_option("--seed", o.seed)->check(kSeedNumber)->capture_default_str();
  for (const std::string& name : without) app.remove_option(name);
}

void apply_preset(RunOptions& o) {
  apply_quantizer(o);
  for (const Preset& p : kPresets) {
    if (o.preset != p.name) continue;
    if (!o.estimator) o.estimator = p.estimator;
    if (!o.owner) o.owner = p.owner;
    if (!o.codebook_start) o.codebook_start = p.codebook_start;
    if (!o.accumulators) o.accumulators = p.accumulators;
    if (!o.dead_codes) o.dead_codes = p.dead_codes;
    if (!o.ema_in_eval) o.ema_in_eval = p.ema_in_eval;
    if (!o.beta) o.beta = p.beta;
    if (!o.decay) o.decay = p.decay;
    if (!o.lr) o.lr = p.lr;
    if (!o.lr_schedule) o.lr_schedule = p.lr_schedule;
    if (!o.warmup) o.warmup = p.warmup;
    if (!o.codebook_dim) o.codebook_dim = o.quantizer == "vq" ? p.codebook_dim : 0;
  }
}

void prepare_device(RunOptions& o) {
  const Device device = parse_device(o.device);
  limit_memory(o.max_memory, device);
  o.precision = resolve_precision(o.precision, device, !o.nondeterministic);
}

void resolve_machine(RunOptions& o) {
  if (o.data == "synthetic" && !o.data_dir.empty())
    throw UsageError("--data-dir", "does not go with --data synthetic");
  if (o.train_images > 0 && o.batch_size > o.train_images)
    throw UsageError("--batch-size", fmt::format("{} is larger than the data: --train-images {}",
                                                 o.batch_size, o.train_images));
  parse_device(o.device);
  if (o.precision == "auto") prepare_device(o);
  if (o.threads == 0) o.threads = omp_get_max_threads();
  omp_set_num_threads(o.threads);
}

void resolve(RunOptions& o) {
  refuse_ignored(o);
  apply_preset(o);
  resolve_machine(o);
  prepare_device(o);
}

DatasetPair load_data(const RunOptions& o) {
  DatasetPair images =
      o.data == "synthetic"
          ? synthetic_images((o.train_images > 0 ? o.train_images : 50'000) + o.validation_images,
                             o.test_images > 0 ? o.test_images : 10'000)
          : load_cifar10(data_folder(o));
  if (o.validation_images > 0) {
    check(o.validation_images < images.train.size(), "data", "--validation-images ",
          o.validation_images, " leaves none of the ", images.train.size(), " training images");
    images.test = tail(images.train, o.validation_images);
    images.train = head(images.train, images.train.size() - o.validation_images);
  }
  if (o.train_images > 0) images.train = head(images.train, o.train_images);
  if (o.test_images > 0) images.test = head(images.test, o.test_images);
  check(o.batch_size <= images.train.size(), "batch", "--batch-size ", o.batch_size,
        " is larger than the data: ", images.train.size(), " training images");
  return images;
}

const char* evaluated_images(const RunOptions& o) {
  return o.validation_images > 0 ? "validation" : "test";
}

CodebookOptions codebook_options(const RunOptions& o) {
  CodebookOptions c;
  c.codes = o.codes;
  c.latent = o.latent;
  c.decay = *o.decay;
  c.owner =
      choice<Owner>("--owner", *o.owner,
                    {{"ema", Owner::ema}, {"gradient", Owner::gradient}, {"both", Owner::both}});
  c.start = choice<CodebookStart>(
      "--codebook-start", *o.codebook_start,
      {{"uniform", CodebookStart::uniform}, {"kmeans", CodebookStart::kmeans}});
  c.accumulators =
      choice<Accumulators>("--accumulators", *o.accumulators,
                           {{"warm", Accumulators::warm}, {"zero", Accumulators::zero}});
  c.dead_code_fraction = *o.dead_codes;
  c.cosine = o.cosine;
  c.soft_em = o.soft_em;
  c.orthogonality = o.orthogonality;
  c.diversity = o.diversity;
  return c;
}

VqVaeOptions model_options(const RunOptions& o) {
  VqVaeOptions m;
  QuantizerOptions& q = m.quantizer;
  q.kind = choice<QuantizerKind>("--quantizer", o.quantizer,
                                 {{"vq", QuantizerKind::vq},
                                  {"simvq", QuantizerKind::simvq},
                                  {"fsq", QuantizerKind::fsq},
                                  {"lfq", QuantizerKind::lfq},
                                  {"bsq", QuantizerKind::bsq}});
  q.estimator = parse_estimator(*o.estimator);
  if (o.temperature > 0) q.estimator.temperature = o.temperature;
  q.levels = parse_levels(o.levels);
  q.entropy_weight = o.entropy_weight;
  q.groups = o.groups;
  q.layers = o.layers;
  q.shared = o.shared_codebook;
  q.layer_dropout = o.layer_dropout;
  q.codebook_dim = *o.codebook_dim;
  q.codebook = codebook_options(o);
  m.activations = activations_of(o.precision);
  return m;
}

std::unique_ptr<VqModel> make_model(const RunOptions& o, Device device, Rng rng) {
  if (o.model == "vqvae2") return std::make_unique<VqVae2>(model_options(o), device, rng);
  return std::make_unique<VqVae>(model_options(o), device, rng);
}

}  // namespace versor
