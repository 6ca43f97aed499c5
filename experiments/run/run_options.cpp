// Options of a run: see run_options.h.
#include "experiments/run/run_options.h"

#include <fmt/format.h>
#include <omp.h>

#include "data/load_images.h"
#include "data/synthetic.h"
#include "experiments/cli/host_share.h"
#include "experiments/cli/ranks.h"
#include "experiments/run/option_table.h"
#include "tensor/backend.h"
#include "tensor/environment.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor {
namespace {

// Where the files of a kind that has a name lie; the folders are those of the official archives.
std::string data_folder(const RunOptions& options) {
  if (!options.data_dir.empty()) return options.data_dir;
  switch (options.data.kind) {
    case DataKind::cifar10:
      return environment("CIFAR10_DIR").value_or("data/cifar-10-batches-bin");
    case DataKind::cifar100:
      return "data/cifar-100-binary";
    case DataKind::mnist:
      return "data/mnist";
    case DataKind::stl10:
      return "data/stl10_binary";
    default:
      return "";
  }
}

// All images that the options name, before they are cut.
DatasetPair all_images(const RunOptions& o) {
  const ImageForm form{o.size, o.channels, o.test_fraction};
  if (o.data.kind == DataKind::synthetic) {
    const DatasetPair drawn =
        synthetic_images((o.train_images > 0 ? o.train_images : 50'000) + o.validation_images,
                         o.test_images > 0 ? o.test_images : 10'000);
    return {in_form(drawn.train, form), in_form(drawn.test, form)};
  }
  return load_images(o.data, data_folder(o), form,
                     [](const std::string& note) { print_note(note + "\n"); });
}

// Evaluation on validation images instead of test images: those of the files, or the last ones of
// the training images.
void hold_back(DatasetPair& images, int64_t validation) {
  if (images.validation.size() > 0) {
    check(validation <= images.validation.size(), "data", "--validation-images ", validation,
          " is more than there are, ", images.validation.size());
    images.test = head(images.validation, validation);
    return;
  }
  check(validation < images.train.size(), "data", "--validation-images ", validation,
        " leaves none of the ", images.train.size(), " training images");
  images.test = tail(images.train, validation);
  images.train = head(images.train, images.train.size() - validation);
}

// The first n images, or all if n is 0.
Dataset first_of(const Dataset& set, int64_t n, const char* option) {
  check(n <= set.size(), "data", option, " ", n, " is more than there are, ", set.size(), " of ",
        set.name);
  return n > 0 ? head(set, n) : set;
}

bool is_grid(QuantizerKind kind) {
  return kind != QuantizerKind::vq && kind != QuantizerKind::simvq;
}

// The number of points of an fsq grid.
int64_t codes_of(const std::vector<int64_t>& levels) {
  int64_t codes = 1;
  for (int64_t level : levels) {
    if (level < 2 || level > (1 << 16) / codes)
      throw UsageError("--levels", "needs at least 2 of each dimension and at most 65536 codes");
    codes *= level;
  }
  return codes;
}

// Sets what the kind of quantizer leaves no choice about, and what estimators that train the codes
// require.
void apply_quantizer(RunOptions& o) {
  for (const RunOption& option : run_option_table())
    if (!option.is_used_by(o.quantizer)) option.set_unused(o);
  if (o.quantizer == QuantizerKind::fsq) o.codes = codes_of(o.levels);
  if (is_grid(o.quantizer) && !o.estimator) o.estimator = Estimator::ste;
  if (o.quantizer != QuantizerKind::vq && !o.codebook_dim) o.codebook_dim = 0;
  const bool draws = o.temperature > 0 || (o.estimator && trains_codes(*o.estimator));
  if (draws && !o.learning) o.learning = CodebookLearning::gradient;
  if (o.estimator != Estimator::diveq)
    o.diveq_noise.reset();
  else if (!o.diveq_noise)
    o.diveq_noise = EstimatorOptions().noise_deviation;
}

// Of the coarsest level, each way.
int64_t pixels_per_latent(const RunOptions& o) {
  return o.model == ModelKind::vqvae2 ? 2 * o.downsampling : o.downsampling;
}

void check_course(const RunOptions& o) {
  if (!o.lr_at.empty() && *o.lr_schedule != LrSchedule::constant)
    throw UsageError("--lr-at", "needs --lr-schedule constant: another changes the rate itself");
  if (!o.lr_at.empty() && o.lr_at.back().epoch > o.epochs)
    throw UsageError("--lr-at", fmt::format("epoch {} is after the last, --epochs {}",
                                            o.lr_at.back().epoch, o.epochs));
  if (o.patience > 0 && evaluated_images(o) == std::string("test"))
    throw UsageError("--patience",
                     "needs --validation-images: a run that ended by its error on "
                     "the test images would be chosen by them");
}

// The first call of several ranks waits for all, so nothing may throw before it.
void take_cores(RunOptions& o, Communicator& ranks) {
  if (o.rank_threads == 0) {
    const Cores cores = share_cores(ranks, o.threads);
    o.threads = cores.host;
    if (!ranks.is_alone()) o.rank_threads = cores.rank;
  }
  omp_set_num_threads(o.rank_threads > 0 ? o.rank_threads : o.threads);
}

const int64_t kUsualBatch = RunOptions().batch_size;

}  // namespace

void apply_preset(RunOptions& o) {
  apply_quantizer(o);
  for (const RunOption& option : run_option_table())
    if (option.take_preset) option.take_preset(o);
  check_course(o);
}

void refuse_ignored(const RunOptions& o) {
  for (const RunOption& option : run_option_table()) {
    const auto value = option.value(o);
    if (option.is_used_by(o.quantizer) || value.is_null() || value == option.unused_value) continue;
    std::string names;
    for (QuantizerKind kind : option.used_by)
      names += fmt::format("{}{}", names.empty() ? "" : " and ", name_of(kind));
    throw UsageError(option.name,
                     fmt::format("is of --quantizer {}, not of {}", names, name_of(o.quantizer)));
  }
  if (o.diveq_noise && o.estimator != Estimator::diveq)
    throw UsageError("--diveq-noise", "is of --estimator diveq");
  if (o.quantizer != QuantizerKind::fsq || o.codes == RunOptions().codes) return;
  if (const int64_t codes = codes_of(o.levels); codes != o.codes)
    throw UsageError("--codes",
                     fmt::format("fsq has as many codes as its --levels make, {}", codes));
}

void prepare_device(RunOptions& o) {
  if (o.max_memory > 0) backend_for(o.device).pool().set_limit(o.max_memory);
  o.precision = resolve_precision(o.precision, o.device, !o.nondeterministic);
}

void resolve_machine(RunOptions& o, Communicator& ranks) {
  take_cores(o, ranks);
  if ((o.data.kind == DataKind::synthetic || o.data.kind == DataKind::folder) &&
      !o.data_dir.empty())
    throw UsageError("--data-dir", "does not go with --data " + text_of(o.data));
  if (const int64_t factor = pixels_per_latent(o); o.size % factor != 0)
    throw UsageError("--size",
                     fmt::format("{} is no multiple of {}, the pixels of a latent (--downsampling)",
                                 o.size, factor));
  if (o.train_images > 0 && o.batch_size > o.train_images && o.batch_size != kUsualBatch)
    throw UsageError("--batch-size", fmt::format("{} is larger than the data: --train-images {}",
                                                 o.batch_size, o.train_images));
  if (o.validation_images > 0 && o.test_images > o.validation_images)
    throw UsageError("--test-images", fmt::format("{} is more than the --validation-images that "
                                                  "take their place, {}",
                                                  o.test_images, o.validation_images));
  if (ranks.local_size() > 1 && o.device.index > 0)
    throw UsageError("--device", "ranks on a host take its GPUs in turn: --device cuda");
  if (o.precision == Precision::automatic) prepare_device(o);
}

void resolve(RunOptions& o, Communicator& ranks) {
  take_cores(o, ranks);
  refuse_ignored(o);
  apply_preset(o);
  resolve_machine(o, ranks);
  prepare_device(o);
}

DatasetPair load_data(const RunOptions& o) {
  DatasetPair images = all_images(o);
  if (o.validation_images > 0) hold_back(images, o.validation_images);
  images.train = first_of(images.train, o.train_images, "--train-images");
  images.test = first_of(images.test, o.test_images, "--test-images");
  return images;
}

void fit_to_images(RunOptions& o, const DatasetPair& images) {
  const int64_t count = images.train.size();
  if (o.batch_size == kUsualBatch && count < kUsualBatch) {
    o.batch_size = count;
    print_note(
        fmt::format("a batch is all {} training images; --batch-size decides otherwise\n", count));
  }
  check(o.batch_size <= count, "batch", "--batch-size ", o.batch_size,
        " is larger than the data: ", count, " training images");
  const Shape &train = images.train.images.shape(), &test = images.test.images.shape();
  const int64_t factor = pixels_per_latent(o);
  check(train[1] % factor == 0 && train[2] % factor == 0, "data", "--downsampling ", o.downsampling,
        o.model == ModelKind::vqvae2 ? " with --model vqvae2" : "",
        " needs images whose height and width are multiples of ", factor, ", but those of ",
        images.train.name, " have ", train[1], " x ", train[2], " pixels");
  check(test[1] == train[1] && test[2] == train[2] && test[3] == train[3], "data", "the images of ",
        images.test.name, ", ", test, ", differ in size from those of ", images.train.name, ", ",
        train);
}

double learning_rate_in(const RunOptions& o, int64_t epoch) {
  double lr = *o.lr;
  for (const LrChange& change : o.lr_at)
    if (change.epoch <= epoch) lr = change.lr;
  return lr;
}

const char* evaluated_images(const RunOptions& o) {
  return o.validation_images > 0 ? "validation" : "test";
}

namespace {

CodebookOptions codebook_options(const RunOptions& o) {
  CodebookOptions c;
  c.codes = o.codes;
  c.latent = o.latent;
  c.decay = *o.decay;
  c.learning = *o.learning;
  c.start = *o.codebook_start;
  c.accumulators = *o.accumulators;
  c.dead_code_fraction = *o.dead_codes;
  c.cosine = o.cosine;
  c.soft_em = o.soft_em;
  c.orthogonality = o.orthogonality;
  c.diversity = o.diversity;
  return c;
}

}  // namespace

VqVaeOptions model_options(const RunOptions& o) {
  VqVaeOptions m;
  QuantizerOptions& q = m.quantizer;
  q.kind = o.quantizer;
  q.estimator = *o.estimator;
  q.estimator.origin = o.rotation_origin;
  if (o.diveq_noise) q.estimator.noise_deviation = *o.diveq_noise;
  if (o.temperature > 0) q.estimator.temperature = o.temperature;
  q.levels = o.levels;
  q.entropy_weight = o.entropy_weight;
  q.groups = o.groups;
  q.layers = o.layers;
  q.shared = o.shared_codebook;
  q.layer_dropout = o.layer_dropout;
  q.codebook_dim = *o.codebook_dim;
  q.codebook = codebook_options(o);
  m.downsampling = o.downsampling;
  m.activations = activations_of(o.precision);
  return m;
}

std::unique_ptr<VqModel> make_model(const RunOptions& o, int64_t image_channels, Device device,
                                    Rng rng) {
  VqVaeOptions m = model_options(o);
  m.image_channels = image_channels;
  if (o.model == ModelKind::vqvae2) return std::make_unique<VqVae2>(m, device, rng);
  return std::make_unique<VqVae>(m, device, rng);
}

}  // namespace versor
