// The options of a training run as a plain struct, which a Trainer takes.
//   RunOptions o;
//   o.latent = 32;
//   o.preset = Preset::published;
//   Trainer(o, load_data(o), {.folder = "results/mine"}).run();
// option_table.h defines each option's name, range, help and default in each preset; run_config.h
// makes a run's config.json and its name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batcher.h"
#include "data/image_source.h"
#include "experiments/run/precision.h"
#include "tensor/communicator.h"
#include "vq/model.h"
#include "vq/names.h"

namespace versor {

// `published`: as in the runs behind the paper's tables; `versor`: what we consider right; `best`:
// the least error on held-back training images (experiments/recorded/README.md).
enum class Preset { versor, published, best };
enum class ModelKind { vqvae, vqvae2 };
enum class LrSchedule { constant, cosine };
// From the beginning of this epoch (from 2 on) on, this learning rate.
struct LrChange {
  int64_t epoch;
  double lr;
};

template <>
struct EnumNames<Preset> {
  static constexpr Named<Preset> all[] = {
      {Preset::versor, "versor"}, {Preset::published, "published"}, {Preset::best, "best"}};
};
template <>
struct EnumNames<ModelKind> {
  static constexpr Named<ModelKind> all[] = {{ModelKind::vqvae, "vqvae"},
                                             {ModelKind::vqvae2, "vqvae2"}};
};
template <>
struct EnumNames<LrSchedule> {
  static constexpr Named<LrSchedule> all[] = {{LrSchedule::constant, "constant"},
                                              {LrSchedule::cosine, "cosine"}};
};

// What a preset decides is optional here: a value that is set overrides the preset's.
struct RunOptions {
  Preset preset = Preset::versor;
  std::optional<Estimator> estimator;
  std::optional<CodebookLearning> learning;
  std::optional<CodebookStart> codebook_start;
  std::optional<Accumulators> accumulators;
  std::optional<double> dead_codes;
  std::optional<bool> ema_in_eval;
  std::optional<double> beta, decay, lr;
  std::optional<LrSchedule> lr_schedule;
  std::optional<int64_t> warmup;  // steps
  std::optional<double> weight_decay;
  std::optional<int64_t> codebook_dim;  // 0: no projection
  std::optional<bool> mirror;           // of training images, as is the next
  std::optional<int64_t> shift;         // pixels

  ModelKind model = ModelKind::vqvae;
  int64_t downsampling = 4;            // pixels per latent each way: 4, 8 or 16
  int64_t codes = 1024, latent = 256;  // for each level of the model
  // The quantizer; the defaults are the paper's, one learned codebook.
  QuantizerKind quantizer = QuantizerKind::vq;
  std::vector<int64_t> levels = {8, 5, 5, 5};
  int64_t groups = 1, layers = 1;
  bool shared_codebook = false, layer_dropout = false, cosine = false;
  RotationOrigin rotation_origin;
  // Of diveq; for other estimators it stays empty. So a run with diveq always has it in its config,
  // and is not mistaken for one that was made when the default was sqrt(5e-3).
  std::optional<double> diveq_noise;
  double temperature = 0, soft_em = 0, orthogonality = 0, diversity = 0, entropy_weight = 0.1;
  int64_t batch_size = 128, epochs = 50;
  std::vector<LrChange> lr_at;  // by epoch
  int64_t patience = 0;         // epochs without a better evaluation before the run ends; 0: all
  int64_t train_images = 0, test_images = 0;  // 0: all
  int64_t validation_images = 0;  // this many of the last training images replace the test images
  uint64_t seed = 1;
  Precision precision = Precision::automatic;
  Device device;
  int threads = 0;            // 0: OpenMP's own choice
  int rank_threads = 0;       // of them, those that this rank of several runs; resolve() decides
  int64_t accumulate = 1;     // micro-batches of a rank in a step
  int64_t compare_every = 0;  // steps until ranks compare their states; 0: an epoch
  uint64_t max_memory = 0;    // bytes of tensors on the device; 0: no limit
  Feeding feed = Feeding::automatic;
  bool tensorboard = false;       // event files beside the CSVs
  bool nondeterministic = false;  // allows algorithms whose bits may differ from run to run
  ImageSource data;
  std::string data_dir;  // of the files of a kind that has a name; "": its usual place
  int64_t size = 0;      // side in pixels that images are cropped and resized to; 0: as they are
  int64_t channels = 0;  // 1 grey, 3 colour; 0: grey if all images are grey
  double test_fraction = .1;  // of the images, where the files have no test images
  std::string init;           // file with the first weights and codes; "": they are drawn
};

// Decides everything that was left open (preset, precision, threads). Throws UsageError for options
// that contradict each other, and Error if this build or machine lacks something. Afterwards no
// optional that a preset decides is empty; a second call changes nothing. Ranks share the cores of
// their hosts (cli/host_share.h), and all must call it. Programs that make many
// runs call its parts instead: refuse_ignored; resolve_machine once, which needs the device itself
// only if the precision is left to it; prepare_device; and apply_preset for each run.
void resolve(RunOptions& options, Communicator& ranks = alone());
// Refuses options that the kind of quantizer would ignore, unless they are set to the value that it
// has anyway, as in the commands of --list.
void refuse_ignored(const RunOptions& options);
void resolve_machine(RunOptions& options, Communicator& ranks = alone());
void prepare_device(RunOptions& options);
void apply_preset(RunOptions& options);

// Loads what `data` and `data_dir` name, in the form of `size` and `channels`, and cuts it to
// `train_images` and `test_images`. With `validation_images` these replace the test images: the
// first of the files' own validation images, or else the last of the training images.
DatasetPair load_data(const RunOptions& options);

// The learning rate of an epoch, 1, 2, ..., before warmup and schedule.
double learning_rate_in(const RunOptions& options, int64_t epoch);

// "test", or "validation" if held-back training images replace the test images.
const char* evaluated_images(const RunOptions& options);

// A set may be smaller than the default batch: then all training images are one, which a line on
// standard error says. Throws Error naming the option if another batch is larger, or if the model
// does not take the images, of which both sets must have the same size.
void fit_to_images(RunOptions& options, const DatasetPair& images);

// The options of a model of images with 3 channels; make_model() sets their number.
VqVaeOptions model_options(const RunOptions& options);
std::unique_ptr<VqModel> make_model(const RunOptions& options, int64_t image_channels,
                                    Device device, Rng rng);

}  // namespace versor
