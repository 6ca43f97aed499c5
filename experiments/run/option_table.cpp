// The table of options: see option_table.h. The rows are at the end.
#include "experiments/run/option_table.h"

#include <algorithm>

#include "experiments/run/option_types.h"

namespace versor {
namespace {

// --- rows ----------------------------------------------------------------------------------------

const Check kAny = {}, kDownsampling = one_of({"4", "8", "16"});
const Check kCount = in_range(1, int64_t{1} << 30), kParts = in_range(1, 1 << 16);

template <class T>
RunOption row(const char* name, T RunOptions::*field, InConfig in_config, const Check& check,
              const std::string& help, bool show_default = true) {
  RunOption option;
  option.name = name;
  option.in_config = in_config;
  option.add = [=](Options& app, RunOptions& o) {
    add_to(app, name, o.*field, check, help, show_default);
  };
  option.value = [=](const RunOptions& o) { return json_of(o.*field); };
  option.is_flag = std::is_same_v<T, bool>;
  option.is_list =
      std::is_same_v<T, std::vector<int64_t>> || std::is_same_v<T, std::vector<LrChange>>;
  return option;
}

// The defaults of an option that presets decide.
template <class T>
struct PerPreset {
  T versor, published, best;

  T of(Preset preset) const {
    return preset == Preset::best ? best : preset == Preset::published ? published : versor;
  }
};
template <class T>
RunOption row(const char* name, std::optional<T> RunOptions::*field,
              const std::type_identity_t<PerPreset<T>>& defaults, InConfig in_config,
              const Check& check, const std::string& help) {
  RunOption option = row(name, field, in_config, check, help, /*show_default=*/false);
  option.take_preset = [=](RunOptions& o) {
    if (!(o.*field)) o.*field = defaults.of(o.preset);
  };
  // --help shows the default of the preset that is given before it.
  option.add = [=, add = option.add](Options& app, RunOptions& o) {
    add(app, o);
    app.show_default(name, [=, &o] { return text_of(json_of(defaults.of(o.preset))); });
  };
  return option;
}

RunOption of_step(RunOption option) {
  option.of_step = true;
  return option;
}

// Marks an option that all but these quantizers refuse; for the others its value is `unused`.
template <class T, class V>
RunOption used_by(std::vector<QuantizerKind> kinds, T RunOptions::*field, V unused,
                  RunOption option) {
  option.used_by = std::move(kinds);
  option.unused_value = json_of(T(unused));
  option.set_unused = [=](RunOptions& o) { o.*field = unused; };
  return option;
}

using O = RunOptions;
constexpr QuantizerKind kVq = QuantizerKind::vq;
constexpr InConfig kAlways = InConfig::always, kUnusual = InConfig::where_unusual,
                   kNever = InConfig::never;

// Options of estimator and codebook, most of which presets decide. config.json begins with these.
std::vector<RunOption> codebook_rows() {
  return {
      row("--preset", &O::preset, kNever, kAny,
          "versor: what we hold to be right; published: the paper's; best: the least error"),
      of_step(row("--estimator", &O::estimator,
                  {Estimator::rotation, Estimator::published, Estimator::ste}, kAlways, kAny,
                  "gradient past the quantizer")),
      used_by({kVq}, &O::learning, CodebookLearning::gradient,
              of_step(row("--owner", &O::learning,
                          {CodebookLearning::ema, CodebookLearning::both, CodebookLearning::ema},
                          kAlways, kAny, "what moves the codebook"))),
      used_by({kVq}, &O::codebook_start, CodebookStart::uniform,
              row("--codebook-start", &O::codebook_start,
                  {CodebookStart::kmeans, CodebookStart::uniform, CodebookStart::kmeans}, kAlways,
                  kAny, "first codes")),
      used_by({kVq}, &O::accumulators, Accumulators::warm,
              row("--accumulators", &O::accumulators,
                  {Accumulators::warm, Accumulators::zero, Accumulators::warm}, kAlways, kAny,
                  "first EMA statistics")),
      used_by({kVq}, &O::dead_codes, 0.0,
              row("--dead-codes", &O::dead_codes, {0.1, 0, 0.1}, kAlways, kFraction,
                  "replace codes used less than this fraction of uniform use; 0: never")),
      used_by({kVq}, &O::ema_in_eval, false,
              row("--ema-in-eval", &O::ema_in_eval, {false, true, false}, kAlways, kAny,
                  "evaluation updates the codebook too (0 or 1)")),
      row("--codes", &O::codes, kAlways, kCount, "K, size of the codebook"),
      row("--latent", &O::latent, kAlways, in_range(2, int64_t{1} << 16), "D, length of a code"),
      of_step(row("--beta", &O::beta, {0.25, 0.25, 0.25}, kAlways, kNotNegative,
                  "weight of the commitment loss")),
      used_by({kVq}, &O::decay, 0.99,
              of_step(row("--decay", &O::decay, {0.99, 0.99, 0.9}, kAlways, kFraction,
                          "gamma of the EMA"))),
  };
}

// A number of bytes, which may be given as 500M or 4G.
RunOption memory_row() {
  RunOption option = row("--max-memory", &O::max_memory, kNever, kAny, "");
  option.add = [](Options& app, RunOptions& o) {
    app.add_text(
           "--max-memory", [&o](const std::string& text) { o.max_memory = *parse_bytes(text); }, "",
           "for tensors on the device, as 500M or 4G; default what there is")
        ->check(kMemorySize);
  };
  return option;
}

std::vector<RunOption> training_rows() {
  return {
      of_step(
          row("--lr", &O::lr, {2e-4, 2e-4, 2e-3}, kAlways, kNotNegative, "Adam's learning rate")),
      row("--batch-size", &O::batch_size, kAlways, kCount, ""),
      row("--epochs", &O::epochs, kAlways, kCount, ""),
      row("--seed", &O::seed, kAlways, kSeedNumber, ""),
      of_step(row("--device", &O::device, kAlways, kDeviceName, "")),
      of_step(row("--precision", &O::precision, kAlways, kAny, "of activations and products")),
      of_step(row("--threads", &O::threads, kAlways, in_range(1, 4096),
                  "default: all cores; another number may change the last bits, and is another run",
                  /*show_default=*/false)),
      row("--nondeterministic", &O::nondeterministic, kUnusual, kAny,
          "allow faster GPU algorithms whose bits may differ from run to run"),
      row("--warmup", &O::warmup, {0, 0, 500}, kUnusual, in_range(0, int64_t{1} << 30),
          "steps in which the learning rate rises from 0"),
      row("--lr-schedule", &O::lr_schedule,
          {LrSchedule::constant, LrSchedule::constant, LrSchedule::cosine}, kUnusual, kAny,
          "constant, or half a cosine down to 0 over all epochs"),
      row("--lr-at", &O::lr_at, kUnusual, kLrChanges,
          "10:1e-4,20:1e-5: from the beginning of epoch 10 on another learning rate, and so on",
          /*show_default=*/false),
      row("--patience", &O::patience, kUnusual, in_range(0, int64_t{1} << 30),
          "end after so many epochs without a lower reconstruction loss on the validation images; "
          "0: never"),
      row("--accumulate", &O::accumulate, kNever, kParts,
          "micro-batches of a step, for each rank: less memory, and the same results but for "
          "rounding"),
      row("--compare-every", &O::compare_every, kNever, in_range(0, int64_t{1} << 30),
          "steps after which ranks compare weights, moments and codes bit for bit; 0: an epoch"),
      row("--tensorboard", &O::tensorboard, kNever, kAny,
          "write TensorBoard's event files too, in the run's folder"),
      row("--weight-decay", &O::weight_decay, {0, 0, 0}, kUnusual, kNotNegative,
          "AdamW's: each step takes lr times this off every parameter"),
      row("--init", &O::init, kNever, kAny,
          "begin with the weights and codes of this model.safetensors, or of this run's folder",
          /*show_default=*/false),
      memory_row(),
      row("--feed", &O::feed, kNever, kAny,
          "batches from the device's memory (resident) or from the host's, read ahead (streamed); "
          "auto: streamed if the images would take more than half of what the device has free"),
  };
}

std::vector<RunOption> quantizer_rows() {
  return {
      row("--model", &O::model, kUnusual, kAny, "one level of latents (vqvae) or two (vqvae2)"),
      row("--downsampling", &O::downsampling, kUnusual, kDownsampling,
          "pixels of the image per latent each way: 4, 8 or 16; more make a deeper network"),
      row("--quantizer", &O::quantizer, kUnusual, kAny,
          "learned codes (vq), frozen ones under a learned map (simvq), or a fixed grid"),
      used_by({QuantizerKind::fsq}, &O::levels, RunOptions().levels,
              row("--levels", &O::levels, kUnusual, kLevels, "of fsq: levels of each dimension")),
      row("--groups", &O::groups, kUnusual, kParts,
          "parts of the latent, each quantized by itself"),
      row("--layers", &O::layers, kUnusual, kParts, "residual quantization in so many steps"),
      row("--shared-codebook", &O::shared_codebook, kUnusual, kAny,
          "one codebook for all groups or layers"),
      row("--layer-dropout", &O::layer_dropout, kUnusual, kAny,
          "train with the first few layers at random"),
      row("--codebook-dim", &O::codebook_dim, {0, 0, 16}, kUnusual, in_range(0, 1 << 16),
          "length of a code behind a projection; 0: none, but grids have their own"),
      row("--cosine", &O::cosine, kUnusual, kAny, "codes and latents are compared at length 1"),
      row("--temperature", &O::temperature, kUnusual, kNotNegative,
          "of gumbel and of codes drawn with ste; 0: the nearest code, and 0.01 for gumbel"),
      of_step(row("--rotation-origin", &O::rotation_origin, kUnusual, kOrigin,
                  "what rotation, reflection and published turn about: the point whose coordinates "
                  "are all this number, or the running mean of the latents")),
      row("--diveq-noise", &O::diveq_noise, kUnusual, kNotNegative,
          "of diveq: standard deviation of the noise added to q - e; default 0.001",
          /*show_default=*/false),
      row("--soft-em", &O::soft_em, kUnusual, kNotNegative,
          "temperature of soft assignments in the EMA; 0: hard"),
      row("--orthogonality", &O::orthogonality, kUnusual, kNotNegative,
          "weight of the codes' orthogonality loss"),
      row("--diversity", &O::diversity, kUnusual, kNotNegative,
          "weight of the loss for even use of codes"),
      used_by({QuantizerKind::lfq, QuantizerKind::bsq}, &O::entropy_weight,
              RunOptions().entropy_weight,
              row("--entropy-weight", &O::entropy_weight, kUnusual, kNotNegative,
                  "of the entropy loss of lfq and bsq")),
  };
}

// A run's config has the images that were read in place of most of these options.
std::vector<RunOption> data_rows() {
  return {
      row("--data", &O::data, kNever, kSource,
          "cifar10, cifar100, mnist, stl10, synthetic, or a folder of PNG and JPEG pictures"),
      row("--data-dir", &O::data_dir, kNever, kAny,
          "where the files of that kind lie; default of cifar10: $CIFAR10_DIR or "
          "data/cifar-10-batches-bin",
          /*show_default=*/false),
      row("--size", &O::size, kNever, in_range(1, int64_t{1} << 13),
          "crop the middle square of each image and resize it to so many pixels",
          /*show_default=*/false),
      row("--channels", &O::channels, kNever, one_of({"1", "3"}),
          "1 grey, 3 colour; default grey if all images are grey", /*show_default=*/false),
      row("--test-fraction", &O::test_fraction, kNever, kFraction,
          "of the images, to test with if the files have no test images"),
      row("--train-images", &O::train_images, kNever, kCount, "the first so many; default all",
          /*show_default=*/false),
      row("--test-images", &O::test_images, kNever, kCount, "the first so many; default all",
          /*show_default=*/false),
      row("--mirror", &O::mirror, {false, false, true}, kUnusual, kAny,
          "mirror half of the training images, others in each epoch (0 or 1)"),
      row("--shift", &O::shift, {0, 0, 0}, kUnusual, in_range(0, 16),
          "shift each training image by up to so many pixels, anew in each epoch"),
      row("--validation-images", &O::validation_images, kUnusual, in_range(0, int64_t{1} << 30),
          "hold back the last so many training images and evaluate on them instead of the test "
          "images"),
  };
}

}  // namespace

std::string RunOption::key() const {
  std::string key = name.substr(2);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

bool RunOption::is_used_by(QuantizerKind kind) const {
  return used_by.empty() || std::find(used_by.begin(), used_by.end(), kind) != used_by.end();
}

const std::vector<RunOption>& run_option_table() {
  static const std::vector<RunOption> table = [] {
    std::vector<RunOption> all;
    const auto add = [&](const char* group, const std::vector<RunOption>& rows) {
      for (RunOption row : rows) {
        row.group = group;
        all.push_back(std::move(row));
      }
    };
    add("Preset and codebook; defaults as in the preset", codebook_rows());
    add("Training", training_rows());
    add("Other models and quantizers", quantizer_rows());
    add("Images", data_rows());
    return all;
  }();
  return table;
}

namespace {

void add_options(Options& app, RunOptions& options,
                 const std::function<bool(const RunOption&)>& wanted) {
  for (const RunOption& option : run_option_table()) {
    if (!wanted(option)) continue;
    app.group(option.group);
    option.add(app, options);
  }
  app.group("Options");
}

}  // namespace

void add_run_options(Options& app, RunOptions& options, const std::set<std::string>& without) {
  add_options(app, options,
              [&](const RunOption& option) { return !without.contains(option.name); });
}

void add_run_option(Options& app, RunOptions& options, const std::string& name) {
  for (const RunOption& option : run_option_table())
    if (option.name == name) return option.add(app, options);
  fail("options", "there is no ", name);
}

void add_step_options(Options& app, RunOptions& options) {
  add_options(app, options, [](const RunOption& option) { return option.of_step; });
}

std::optional<RotationOrigin> parse_origin(const std::string& text) {
  if (text == "mean") return RotationOrigin{.mean = true};
  RotationOrigin origin;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + text.size(), origin.coordinate);
  const bool whole = error == std::errc() && stop == text.data() + text.size();
  if (!whole || !std::isfinite(static_cast<float>(origin.coordinate))) return {};
  return origin;
}

std::string text_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace versor
