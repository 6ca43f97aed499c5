// The trainer: see trainer.h.
#include "experiments/run/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "experiments/cli/ranks.h"
#include "experiments/run/clock.h"
#include "experiments/run/gradient_probe.h"
#include "experiments/run/model_file.h"
#include "experiments/run/rank_checks.h"
#include "experiments/run/snapshot.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"

namespace versor {
namespace {

// The independent streams of random numbers of a run.
enum Purpose : uint64_t { kModel = 1, kShuffle = 2 };

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

RunOptions resolved(RunOptions options, const DatasetPair& images, Communicator& ranks) {
  together(ranks, [&] {
    resolve(options, ranks);
    fit_to_images(options, images);
  });
  return options;
}

// The same on all ranks, which is found out before anything else is done together.
std::shared_ptr<const nlohmann::ordered_json> compared_config(const RunOptions& options,
                                                              const DatasetPair& images,
                                                              Communicator& ranks) {
  auto config = std::make_shared<nlohmann::ordered_json>(config_of(options, images));
  check_same_start(ranks, options, *config);
  return config;
}

// The images of a part of batch number[0] of an epoch; they are made when they are asked for.
ImagesOfPart parts_from(const Epoch& epoch, const Tensor& number) {
  return [&](const BatchPart& part) {
    return epoch.batch_at(number, part.worked_count(), part.worked_first());
  };
}

// Options that make no model are an error of all ranks.
std::unique_ptr<VqModel> made_together(const RunOptions& options, int64_t image_channels, Rng rng,
                                       Communicator& ranks) {
  std::unique_ptr<VqModel> model;
  together(ranks, [&] { model = make_model(options, image_channels, options.device, rng); });
  return model;
}

}  // namespace

Trainer::Trainer(const RunOptions& options, const DatasetPair& images, TrainerSettings settings)
    : options_(resolved(options, images, *settings.ranks)),
      config_(compared_config(options_, images, *settings.ranks)),
      settings_(std::move(settings)),
      of_device_(communicator_on(options_.device, *settings_.ranks)),
      communicator_(of_device_ ? *of_device_ : *settings_.ranks),
      folder_(open_folder()),
      device_(options_.device),
      rng_(options_.seed),
      model_(
          made_together(options_, images.train.images.dim(3), rng_.split(kModel), communicator_)),
      train_images_(images.train, options_.batch_size, device_,
                    {.mirror = *options_.mirror, .shift = *options_.shift}, options_.feed),
      // Evaluation has no smallest batch: a small test set is one batch.
      test_images_(images.test, std::min(options_.batch_size, images.test.size()), device_, {},
                   options_.feed),
      adam_params_(adam_params(options_, train_images_.batches())),
      adam_(model_->flat_parameters(), adam_params_),
      sharing_(communicator_, options_.accumulate),
      step_(*model_, adam_, sharing_),
      arena_(std::make_shared<MemoryPool::Arena>(backend_for(device_).pool())),
      progress_(model_->vocabulary()),
      train_pass_(train_images_, progress_.train, device_),
      test_pass_(test_images_, progress_.test, device_),
      guard_(train_pass_.batch),
      graph_(settings_.graph && model_->capturable() && communicator_.is_capturable()),
      line_(settings_.folder) {
  if (folder_)
    log_.emplace(*folder_, options_.tensorboard, train_images_.batches(),
                 gradients_header(*model_));
}

Trainer::Pass::Pass(const Batcher& images, PassMetrics& pass_metrics, Device device)
    : batches(images.batches()),
      order(images.in_order()),
      batch(ops::zeros({1}, device, DType::i32)),
      log(images.batches(), pass_metrics.histogram().vocabulary(), device),
      metrics(pass_metrics) {}

TrainingEnd Trainer::run() {
  if (root_says(communicator_, [&] { return is_finished(folder_->path(), *config_); }))
    return TrainingEnd::was_finished;
  started_at_ = Clock::now();
  backend_for(device_).pool().reset_peak();  // so that the recorded peak is this run's
  const InterruptGuard guard;
  begin_run();
  saved_at_ = Clock::now();
  while (!has_ended()) {
    train_epoch();
    const double train_seconds = seconds_since(epoch_started_at_);
    const auto start = Clock::now();
    evaluate();
    if (test_pass_.next < test_pass_.batches) {
      save();
      return next_ == kInterrupt ? TrainingEnd::interrupted : TrainingEnd::stopped;
    }
    finish_epoch(train_seconds, seconds_since(start));
  }
  if (folder_) forget_previous_checkpoint(*folder_);
  return TrainingEnd::finished;
}

// Brings model and Progress to where the run goes on, or begins.
void Trainer::begin_run() {
  if (train_images_.streamed() && folder_ && !settings_.quiet)
    std::fprintf(stderr, "%s\n", train_images_.feeding().c_str());
  const bool goes_on = root_says(communicator_, [&] {
    folder_->continue_shorter_run(*config_);
    folder_->note_ranks(communicator_.size());
    return restore();
  });
  if (!goes_on) {
    if (options_.init.empty())
      start_codebooks();
    else
      together(communicator_, [&] { init_from(*model_, options_.init); });
  }
  share_state();
  begin(train_pass_);
  first_step_ = steps_done();
  if (!folder_) return;
  if (!goes_on)
    write_snapshot(folder_->path(), 0, *model_, progress_.train.histogram().counts(), pictured());
  log_->restart(progress_);
}

// All ranks begin where rank 0 is.
void Trainer::share_state() {
  if (communicator_.is_alone()) return;
  for (auto& [name, tensor] : training_state(*model_, adam_)) communicator_.broadcast(tensor);
  const std::string text = communicator_.broadcast(to_text(progress_), 0);
  progress_ = parse_progress(text, model_->vocabulary(), "rank 0");
}

bool Trainer::has_ended() const {
  if (progress_.epoch == options_.epochs) return true;
  if (options_.patience == 0) return false;
  return versor::has_ended(*config_, epochs_done());
}

MetricsTable Trainer::epochs_done() const {
  std::string text = metrics_header() + "\n";
  for (const std::string& row : progress_.rows) text += row + "\n";
  return parse_metrics(text, "metrics.csv");
}

// Whether the run is to stop, or metrics are to be read, depends on each rank's clock and signals.
// If ranks decided by themselves, some would wait for a step that others never make.
void Trainer::agree() {
  const bool time_is_up =
      (settings_.stop_after > 0 && seconds_since(started_at_) >= settings_.stop_after) ||
      (settings_.stop_after_steps > 0 && steps_done() - first_step_ >= settings_.stop_after_steps);
  Next wanted = kGoOn;
  if (InterruptGuard::interrupted())
    wanted = kInterrupt;
  else if (time_is_up)
    wanted = kStop;
  else if (folder_ && (line_due() || log_->step_due() || time_to_save()))
    wanted = kReport;
  next_ = static_cast<Next>(communicator_.largest(wanted));
}

// k-means sees the first max(8K, R) latents of the untrained encoder: whole batches of the first
// epoch, until each quantizer has enough.
void Trainer::start_codebooks() {
  const Epoch epoch = train_images_.shuffled(rng_.split(kShuffle), 0);
  const auto parts_of = [&](int64_t b) {
    epoch.fetch(b);
    const Tensor number = ops::full({1}, static_cast<float>(b), device_, DType::i32);
    const ImagesOfPart images_of = parts_from(epoch, number);
    std::vector<Tensor> parts;
    for (const BatchPart& part : sharing_.parts(epoch.batch_count(b)))
      if (!part.is_empty()) parts.push_back(images_of(part));
    return parts;
  };
  model_->start_codebooks(epoch.batches(), parts_of, communicator_);
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
  const ImagesOfPart images_of = parts_from(pass.order, pass.batch);
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
  if (log_) log_->begin_steps(progress_.train);
  agree();
  while (train_pass_.next < train_pass_.batches && !must_stop()) {
    step(train_pass_, true);
    agree();
    if (at_once || next_ >= kReport) take_metrics(train_pass_);
    if (options_.compare_every > 0 && steps_done() % options_.compare_every == 0) compare_ranks();
    if (!folder_ || next_ != kReport) continue;
    if (line_due()) show_progress();
    if (log_->step_due()) log_step();
    if (time_to_save()) save();
  }
  take_metrics(train_pass_);
  if (folder_) log_step();
}

// Of the run.
int64_t Trainer::steps_done() const {
  return progress_.epoch * train_pass_.batches + train_pass_.next;
}

// Reads what the steps since the last call have logged. Fails if any of it was not finite; so all
// ranks must call it after the same steps.
void Trainer::take_metrics(Pass& pass) {
  if (pass.metrics.batches() == pass.next) return;
  if (const auto found = guard_.found()) {
    const std::string finder = communicator_.is_alone()
                                   ? ""
                                   : " on " + communicator_.name_of(guard_.finder(communicator_));
    fail_not_finite(str(found->tensor, " is not finite", finder, " in step ", found->step + 1));
  }
  pass.metrics.add(pass.log, pass.metrics.batches(), pass.next);
}

// Saves the model for inspection; it has not changed since the non-finite number appeared.
void Trainer::fail_not_finite(const std::string& what) {
  const std::string file = settings_.folder + "/not-finite.safetensors";
  if (folder_) write_model(file);
  throw SharedError(str("[train] ", what, " of epoch ", progress_.epoch + 1,
                        "; the model as it was then is in ", file),
                    1);
}

void Trainer::evaluate() {
  if (train_pass_.next < train_pass_.batches) return;  // interrupted
  const NoGradGuard no_grad;
  model_->set_training(false);
  begin(test_pass_);
  while (test_pass_.next < test_pass_.batches && !must_stop()) {
    step(test_pass_, false);
    agree();
  }
  take_metrics(test_pass_);
  // Parameters that the last step of the epoch made non-finite show up here first.
  if (progress_.test.batches() > 0 && !std::isfinite(progress_.test.loss())) {
    const std::string tensor = first_not_finite(*model_);
    fail_not_finite(str(tensor.empty() ? "the loss" : tensor, " is not finite in the evaluation"));
  }
}

void Trainer::finish_epoch(double train_seconds, double eval_seconds) {
  if (options_.compare_every == 0) compare_ranks();
  if (folder_ && !settings_.quiet) show_epoch(train_seconds + eval_seconds);
  ++progress_.epoch;
  progress_.rows.push_back(metrics_row(progress_.epoch, progress_.train, progress_.test));
  if (folder_) draw_epoch();
  const std::string gradients = gradients_now();
  const std::string timing = fmt::format(
      "{},{:.3f},{:.3f},{:.1f},{},{},{}", progress_.epoch, train_seconds, eval_seconds,
      static_cast<double>(images_seen()) / train_seconds, backend_for(device_).pool().peak_bytes(),
      communicator_.size(), options_.accumulate);
  progress_.train = progress_.test = PassMetrics(model_->vocabulary());
  train_pass_.next = test_pass_.next = 0;
  if (folder_) write_epoch(timing, gradients);
}

// The row of gradients.csv, of the first batch in the order of the files.
std::string Trainer::gradients_now() const {
  const Epoch epoch = train_images_.in_order();
  epoch.fetch(0);
  const Tensor number = ops::zeros({1}, device_, DType::i32);
  return gradients_row(progress_.epoch, *model_, epoch.batch_count(0), parts_from(epoch, number),
                       static_cast<float>(*options_.beta), sharing_);
}

void Trainer::compare_ranks() {
  check_no_drift(communicator_, training_state(*model_, adam_), to_text(progress_), steps_done());
}

}  // namespace versor
