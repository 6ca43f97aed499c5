// The trainer: see trainer.h.
#include "experiments/run/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "experiments/run/clock.h"
#include "experiments/run/gradient_probe.h"
#include "experiments/run/model_file.h"
#include "experiments/run/snapshot.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// The independent streams of random numbers of a run.
enum Purpose : uint64_t { kModel = 1, kShuffle = 2 };

// A checkpoint is written at the end of an epoch if the last one is this old, so that short epochs
// do not spend their time on files, and inside an epoch if it is older still.
constexpr double kSecondsBetweenEpochSaves = 10, kSecondsBetweenSaves = 120;
constexpr int64_t kPictures = 16;

volatile std::sig_atomic_t signal_received = 0;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

extern "C" void note_signal(int signal) {
  signal_received = 1;
  std::signal(signal, SIG_DFL);  // a second signal ends the process
}

// The first tensor of a module that has a NaN or infinity; "" if none has.
std::string first_not_finite(const Module& module) {
  for (const auto& [name, tensor] : state_dict(module))
    if (tensor.dtype() == DType::f32)
      for (float value : tensor.to_vector<float>())
        if (!std::isfinite(value)) return name;
  return "";
}

AdamParams adam_params(const RunOptions& options, int64_t batches) {
  const bool decays = *options.lr_schedule == LrSchedule::cosine;
  return {.lr = static_cast<float>(*options.lr),
          .weight_decay = static_cast<float>(*options.weight_decay),
          .warmup = static_cast<int>(*options.warmup),
          .decay = decays ? static_cast<int>(std::min<int64_t>(options.epochs * batches,
                                                               std::numeric_limits<int>::max()))
                          : 0};
}

MetricsTable parse_rows(const Progress& progress) {
  std::string text = metrics_header() + "\n";
  for (const std::string& row : progress.rows) text += row + "\n";
  return parse_metrics(text, "metrics.csv");
}

RunOptions resolved(RunOptions options, const DatasetPair& images) {
  resolve(options);
  fit_to_images(options, images);
  return options;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_received = 0;
  for (int signal : kSignals)
    if (std::signal(signal, note_signal) == SIG_IGN && signal == SIGHUP)
      std::signal(SIGHUP, SIG_IGN);
}
InterruptGuard::~InterruptGuard() {
  for (int signal : kSignals)
    if (std::signal(signal, SIG_DFL) == SIG_IGN) std::signal(signal, SIG_IGN);
}
bool InterruptGuard::interrupted() {
  return signal_received != 0;
}

Trainer::Trainer(const RunOptions& options, const DatasetPair& images, TrainerSettings settings)
    : options_(resolved(options, images)),
      config_(std::make_shared<nlohmann::ordered_json>(config_of(options_, images))),
      settings_(std::move(settings)),
      folder_(settings_.folder, *config_, backend_for(options_.device).info().name,
              settings_.has_source ? &options_ : nullptr),
      device_(options_.device),
      rng_(options_.seed),
      model_(make_model(options_, images.train.images.dim(3), device_, rng_.split(kModel))),
      train_images_(images.train, options_.batch_size, device_,
                    {.mirror = *options_.mirror, .shift = *options_.shift}, options_.feed),
      // Evaluation has no smallest batch: a small test set is one batch.
      test_images_(images.test, std::min(options_.batch_size, images.test.size()), device_, {},
                   options_.feed),
      adam_params_(adam_params(options_, train_images_.batches())),
      adam_(model_->flat_parameters(), adam_params_),
      communicator_(alone()),
      sharing_(communicator_),
      step_(*model_, adam_, sharing_),
      arena_(std::make_shared<MemoryPool::Arena>(backend_for(device_).pool())),
      progress_(model_->vocabulary()),
      train_pass_(train_images_, progress_.train, device_),
      test_pass_(test_images_, progress_.test, device_),
      guard_(train_pass_.batch),
      graph_(settings_.graph && model_->capturable()),
      log_(folder_, options_.tensorboard, train_images_.batches(), gradients_header(*model_)),
      line_(folder_.path()) {}

Trainer::Pass::Pass(const Batcher& images, PassMetrics& pass_metrics, Device device)
    : batches(images.batches()),
      order(images.in_order()),
      batch(ops::zeros({1}, device, DType::i32)),
      log(images.batches(), pass_metrics.histogram().vocabulary(), device),
      metrics(pass_metrics) {}

TrainingEnd Trainer::run() {
  if (is_finished(folder_.path(), *config_)) return TrainingEnd::was_finished;
  started_at_ = Clock::now();
  backend_for(device_).pool().reset_peak();  // so that the recorded peak is this run's
  if (train_images_.streamed() && !settings_.quiet)
    std::fprintf(stderr, "%s\n", train_images_.feeding().c_str());
  const InterruptGuard guard;
  folder_.continue_shorter_run(*config_);
  if (!restore()) {
    if (options_.init.empty())
      start_codebooks();
    else
      init_from(*model_, options_.init);
    write_snapshot(folder_.path(), 0, *model_, progress_.train.histogram().counts(), pictured());
  }
  log_.restart(progress_);
  saved_at_ = Clock::now();
  while (!has_ended()) {
    train_epoch();
    const double train_seconds = seconds_since(epoch_started_at_);
    const auto start = Clock::now();
    evaluate();
    if (test_pass_.next < test_pass_.batches) {
      save();
      return InterruptGuard::interrupted() ? TrainingEnd::interrupted : TrainingEnd::stopped;
    }
    finish_epoch(train_seconds, seconds_since(start));
  }
  forget_previous_checkpoint(folder_);
  return TrainingEnd::finished;
}

bool Trainer::has_ended() const {
  if (progress_.epoch == options_.epochs) return true;
  if (options_.patience == 0) return false;
  return versor::has_ended(*config_, parse_rows(progress_));
}

bool Trainer::must_stop() const {
  return InterruptGuard::interrupted() ||
         (settings_.stop_after > 0 && seconds_since(started_at_) >= settings_.stop_after);
}

// k-means sees the first max(8K, R) latents of the untrained encoder: whole batches of the first
// epoch, until each quantizer has enough.
void Trainer::start_codebooks() {
  const Epoch epoch = train_images_.shuffled(rng_.split(kShuffle), 0);
  const auto images_of = [&](int64_t b) {
    epoch.fetch(b);
    const Tensor number = ops::full({1}, static_cast<float>(b), device_, DType::i32);
    std::vector<Tensor> parts;
    for (const BatchPart& part : sharing_.parts(epoch.batch_count(b)))
      if (!part.is_empty()) parts.push_back(epoch.batch_at(number, part.count, part.first));
    return parts;
  };
  model_->start_codebooks(epoch.batches(), images_of, communicator_);
}

// A pass begins after the batches that its metrics already cover: none, or those before an
// interruption.
void Trainer::begin(Pass& pass) {
  pass.next = pass.metrics.batches();
  ops::fill(pass.batch, static_cast<float>(pass.next));
}

// Enqueues the next batch of a pass. The step itself counts, on the device, the numbers that differ
// from step to step (which batch, Adam's t, the codebook's updates), so that it can be replayed.
void Trainer::step(Pass& pass, bool training) {
  pass.order.fetch(pass.next);
  const int64_t count = pass.order.batch_count(pass.next++);
  const auto beta = static_cast<float>(*options_.beta);
  Backend& backend = backend_for(device_);
  Replay& replay = pass.replays.try_emplace(count, backend, arena_, graph_).first->second;
  const auto images_of = [&](const BatchPart& part) {
    return pass.order.batch_at(pass.batch, part.worked_count(), part.worked_first());
  };
  replay.run([&] {
    // The published runs let test images update the codebook.
    const StepResult result =
        training ? step_(count, images_of, beta, &guard_)
                 : step_.evaluate(count, images_of, beta, /*updates=*/*options_.ema_in_eval);
    pass.log.record(result, pass.batch, communicator_);
    ops::increment(pass.batch);
  });
}

// Of the epoch that begins. Captured steps contain the rate, so another is captured anew.
void Trainer::set_learning_rate() {
  const auto lr = static_cast<float>(learning_rate_in(options_, progress_.epoch + 1));
  if (lr == adam_params_.lr) return;
  adam_params_.lr = lr;
  adam_.set_learning_rate(lr);
  train_pass_.replays.clear();
}

void Trainer::train_epoch() {
  model_->set_training(true);
  set_learning_rate();
  train_pass_.order.take(train_images_.shuffled(rng_.split(kShuffle), progress_.epoch));
  begin(train_pass_);
  // Steps that are not captured are checked one by one.
  const bool at_once = !(graph_ && backend_for(device_).info().can_capture);
  epoch_started_at_ = Clock::now();
  epoch_started_batch_ = train_pass_.next;
  log_.begin_steps(progress_.train);
  while (train_pass_.next < train_pass_.batches && !must_stop()) {
    step(train_pass_, true);
    if (at_once) take_metrics(train_pass_);
    show_progress();
    if (log_.step_due()) log_step();
    if (time_to_save()) save();
  }
  log_step();
}

void Trainer::log_step() {
  take_metrics(train_pass_);
  const int64_t step = progress_.epoch * train_pass_.batches + train_pass_.next;
  log_.add_step(progress_, learning_rate(adam_params_, static_cast<int>(step)));
}

// Reads what the steps since the last call have logged. Fails if any of it was not finite.
void Trainer::take_metrics(Pass& pass) {
  if (pass.metrics.batches() == pass.next) return;
  if (const auto found = guard_.found())
    fail_not_finite(str(found->tensor, " is not finite in step ", found->step + 1));
  pass.metrics.add(pass.log, pass.metrics.batches(), pass.next);
}

// Saves the model for inspection; it has not changed since the non-finite number appeared.
void Trainer::fail_not_finite(const std::string& what) {
  const std::string file = folder_.file("not-finite.safetensors");
  write_model(file);
  fail("train", what, " of epoch ", progress_.epoch + 1, "; the model as it was then is in ", file);
}

void Trainer::write_model(const std::string& path) const {
  const Shape images = pictured().shape();  // [N,H,W,C]
  write_model_file(path, *model_, options_, *config_, {images[1], images[2], images[3]},
                   progress_.epoch);
}

void Trainer::evaluate() {
  if (train_pass_.next < train_pass_.batches) return;  // interrupted
  const NoGradGuard no_grad;
  model_->set_training(false);
  begin(test_pass_);
  while (test_pass_.next < test_pass_.batches && !must_stop()) step(test_pass_, false);
  take_metrics(test_pass_);
  // Parameters that the last step of the epoch made non-finite show up here first.
  if (progress_.test.batches() > 0 && !std::isfinite(progress_.test.loss())) {
    const std::string tensor = first_not_finite(*model_);
    fail_not_finite(str(tensor.empty() ? "the loss" : tensor, " is not finite in the evaluation"));
  }
}

void Trainer::finish_epoch(double train_seconds, double eval_seconds) {
  const int64_t epoch = progress_.epoch + 1;
  const PassMetrics &train = progress_.train, &test = progress_.test;
  MemoryPool& pool = backend_for(device_).pool();
  if (!settings_.quiet)
    line_.keep(
        {fmt::format("epoch {}/{}", epoch, options_.epochs),
         fmt::format("recon {:.4f}", train.reconstruction_loss()),
         fmt::format("{} {:.4f}", evaluated_images(options_), test.reconstruction_loss()),
         fmt::format("perplexity {:.1f}", train.perplexity()),
         fmt::format("codes {}/{}", test.histogram().used(), test.histogram().counts().size()),
         fmt::format("{:.0f} s", train_seconds + eval_seconds),
         fmt::format("codebook {:.4f}", train.codebook_loss())});
  progress_.rows.push_back(metrics_row(epoch, train, test));
  progress_.epoch = epoch;
  draw_reconstructions(folder_.file("reconstructions.png"), *model_, pictured());
  if (is_kept(epoch, options_.epochs) || has_ended())
    write_snapshot(folder_.path(), epoch, *model_, train.histogram().counts(), pictured());
  const std::string gradients = gradients_row(epoch, *model_, train_images_.in_order().batch(0),
                                              static_cast<float>(*options_.beta));
  const std::string timing =
      fmt::format("{},{:.3f},{:.3f},{:.1f},{}", epoch, train_seconds, eval_seconds,
                  static_cast<double>(images_seen()) / train_seconds, pool.peak_bytes());
  progress_.train = progress_.test = PassMetrics(model_->vocabulary());
  train_pass_.next = test_pass_.next = 0;
  log_.add_epoch(progress_, timing, gradients);
  if (options_.patience > 0 && best_epoch(parse_rows(progress_)) == epoch)
    write_model(folder_.file("best.safetensors"));
  // The last checkpoint is written before the row that marks the run as finished. A run killed in
  // between resumes after that epoch and writes the row from the checkpoint's copy. The rows of
  // other epochs may be ahead of the checkpoint; what resumes from it takes them back.
  if (has_ended() || settings_.save_every > 0 ||
      seconds_since(saved_at_) > kSecondsBetweenEpochSaves) {
    save();
    write_model(folder_.file("model.safetensors"));
  }
  log_.finish_epoch(progress_);
}

// The test images that pictures show: the first ones.
Tensor Trainer::pictured() const {
  const Tensor first = test_images_.in_order().batch(0);
  return first.rows(0, std::min(kPictures, first.dim(0)));
}

// Training images seen since the epoch began, or since the run resumed in it. The last batch may be
// smaller.
int64_t Trainer::images_seen() const {
  const auto before = [&](int64_t batch) {
    return std::min(batch * options_.batch_size, train_images_.size());
  };
  return before(train_pass_.next) - before(epoch_started_batch_);
}

bool Trainer::time_to_save() const {
  if (settings_.save_every > 0) return train_pass_.next % settings_.save_every == 0;
  return seconds_since(saved_at_) > kSecondsBetweenSaves;
}

void Trainer::save() {
  take_metrics(train_pass_);
  write_checkpoint(folder_, *config_, progress_, *model_, adam_);
  saved_at_ = Clock::now();
}

bool Trainer::restore() {
  const auto saved = restore_checkpoint(folder_, *config_, *model_, adam_);
  if (!saved) return false;
  const bool possible = saved->epoch <= options_.epochs &&
                        saved->train.batches() <= train_pass_.batches &&
                        saved->test.batches() <= test_pass_.batches;
  check(possible, "run", folder_.path(), ": the checkpoint's position lies outside the run");
  progress_ = *saved;
  // The run may have been killed at the end of an epoch after the checkpoint was written but before
  // the model was.
  if (progress_.epoch > 0 && progress_.train.batches() == 0)
    write_model(folder_.file("model.safetensors"));
  if (!settings_.quiet)
    std::fprintf(stderr, "resuming after %lld epochs and %lld batches\n",
                 static_cast<long long>(progress_.epoch),
                 static_cast<long long>(progress_.train.batches()));
  return true;
}

void Trainer::show_progress() {
  const int64_t batch = train_pass_.next, batches = train_pass_.batches;
  const double seconds = seconds_since(epoch_started_at_);
  const double per_step = seconds / static_cast<double>(batch - epoch_started_batch_);
  const auto left =
      static_cast<double>((options_.epochs - progress_.epoch) * batches - batch) * per_step;
  if (settings_.quiet || !line_.due(seconds_since(started_at_) + left)) return;
  take_metrics(train_pass_);
  const PassMetrics& train = progress_.train;
  line_.show(
      {fmt::format("epoch {}/{} [{}/{}]", progress_.epoch + 1, options_.epochs, batch, batches),
       fmt::format("recon {:.4f}", train.reconstruction_loss()),
       fmt::format("perplexity {:.1f}", train.perplexity()),
       fmt::format("{:.0f}:{:02.0f} left", std::floor(left / 60), std::floor(std::fmod(left, 60))),
       fmt::format("{:.0f} images/s", static_cast<double>(images_seen()) / seconds),
       fmt::format("codebook {:.4f}", train.codebook_loss()),
       fmt::format("codes {}", train.histogram().used())});
}

}  // namespace versor
