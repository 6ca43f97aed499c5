// Options of a run: see run_options.h.
#include "experiments/run/run_options.h"

#include <fmt/format.h>
#include <omp.h>

#include "data/cifar10.h"
#include "data/synthetic.h"
#include "experiments/run/option_table.h"
#include "tensor/backend.h"
#include "tensor/environment.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor {
namespace {

std::string data_folder(const RunOptions& options) {
  if (!options.data_dir.empty()) return options.data_dir;
  return environment("CIFAR10_DIR").value_or("data/cifar-10-batches-bin");
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

void resolve_machine(RunOptions& o) {
  if (o.data == ImageSource::synthetic && !o.data_dir.empty())
    throw UsageError("--data-dir", "does not go with --data synthetic");
  if (o.train_images > 0 && o.batch_size > o.train_images)
    throw UsageError("--batch-size", fmt::format("{} is larger than the data: --train-images {}",
                                                 o.batch_size, o.train_images));
  if (o.validation_images > 0 && o.test_images > o.validation_images)
    throw UsageError("--test-images", fmt::format("{} is more than the --validation-images that "
                                                  "take their place, {}",
                                                  o.test_images, o.validation_images));
  if (o.precision == Precision::automatic) prepare_device(o);
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
      o.data == ImageSource::synthetic
          ? synthetic_images((o.train_images > 0 ? o.train_images : 50'000) + o.validation_images,
                             o.test_images > 0 ? o.test_images : 10'000)
          : load_cifar10(data_folder(o));
  if (o.validation_images > 0) {
    check(o.validation_images < images.train.size(), "data", "--validation-images ",
          o.validation_images, " leaves none of the ", images.train.size(), " training images");
    images.test = tail(images.train, o.validation_images);
    images.train = head(images.train, images.train.size() - o.validation_images);
  }
  images.train = first_of(images.train, o.train_images, "--train-images");
  images.test = first_of(images.test, o.test_images, "--test-images");
  check(o.batch_size <= images.train.size(), "batch", "--batch-size ", o.batch_size,
        " is larger than the data: ", images.train.size(), " training images");
  return images;
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
  m.activations = activations_of(o.precision);
  return m;
}

std::unique_ptr<VqModel> make_model(const RunOptions& o, Device device, Rng rng,
                                    int64_t image_channels) {
  VqVaeOptions of_model = model_options(o);
  of_model.image_channels = image_channels;
  if (o.model == ModelKind::vqvae2) return std::make_unique<VqVae2>(of_model, device, rng);
  return std::make_unique<VqVae>(of_model, device, rng);
}

}  // namespace versor
