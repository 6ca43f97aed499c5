// What rank 0 of a training writes and prints: see trainer.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "experiments/cli/ranks.h"
#include "experiments/run/clock.h"
#include "experiments/run/model_file.h"
#include "experiments/run/snapshot.h"
#include "experiments/run/trainer.h"

namespace versor {
namespace {

// A checkpoint is written at the end of an epoch if the last one is this old, so that short epochs
// do not spend their time on files, and inside an epoch if it is older still.
constexpr double kSecondsBetweenEpochSaves = 10, kSecondsBetweenSaves = 120;
constexpr int64_t kPictures = 16;

}  // namespace

std::unique_ptr<RunFolder> Trainer::open_folder() {
  std::unique_ptr<RunFolder> folder;
  at_root(communicator_, [&] {
    folder = std::make_unique<RunFolder>(settings_.folder, *config_,
                                         backend_for(options_.device).info().name,
                                         settings_.has_source ? &options_ : nullptr);
  });
  return folder;
}

void Trainer::write_model(const std::string& path) const {
  const Shape images = pictured().shape();  // [N,H,W,C]
  write_model_file(path, *model_, options_, *config_, {images[1], images[2], images[3]},
                   progress_.epoch);
}

void Trainer::draw_epoch() const {
  draw_reconstructions(folder_->file("reconstructions.png"), *model_, pictured());
  if (is_kept(progress_.epoch, options_.epochs) || has_ended())
    write_snapshot(folder_->path(), progress_.epoch, *model_, progress_.train.histogram().counts(),
                   pictured());
}

void Trainer::write_epoch(const std::string& timing, const std::string& gradients) {
  log_->add_epoch(progress_, timing, gradients);
  if (options_.patience > 0 && best_epoch(epochs_done()) == progress_.epoch)
    write_model(folder_->file("best.safetensors"));
  // The last checkpoint is written before the row that marks the run as finished. A run killed in
  // between resumes after that epoch and writes the row from the checkpoint's copy. The rows of
  // other epochs may be ahead of the checkpoint; what resumes from it takes them back.
  if (has_ended() || settings_.save_every > 0 ||
      seconds_since(saved_at_) > kSecondsBetweenEpochSaves) {
    save();
    write_model(folder_->file("model.safetensors"));
  }
  log_->finish_epoch(progress_);
}

void Trainer::log_step() {
  const auto step = static_cast<int>(steps_done());
  log_->add_step(progress_, learning_rate(adam_params_, step));
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

// All ranks have the same state, so that of rank 0 is everybody's.
void Trainer::save() {
  take_metrics(train_pass_);
  if (!folder_) return;
  write_checkpoint(*folder_, *config_, progress_, *model_, adam_);
  saved_at_ = Clock::now();
}

bool Trainer::restore() {
  const auto saved = restore_checkpoint(*folder_, *config_, *model_, adam_);
  if (!saved) return false;
  const bool possible = saved->epoch <= options_.epochs &&
                        saved->train.batches() <= train_pass_.batches &&
                        saved->test.batches() <= test_pass_.batches;
  check(possible, "run", folder_->path(), ": the checkpoint's position lies outside the run");
  progress_ = *saved;
  // The run may have been killed at the end of an epoch after the checkpoint was written but before
  // the model was.
  if (progress_.epoch > 0 && progress_.train.batches() == 0)
    write_model(folder_->file("model.safetensors"));
  if (!settings_.quiet)
    std::fprintf(stderr, "resuming after %lld epochs and %lld batches\n",
                 static_cast<long long>(progress_.epoch),
                 static_cast<long long>(progress_.train.batches()));
  return true;
}

double Trainer::seconds_left() const {
  const double per_step = seconds_since(epoch_started_at_) /
                          static_cast<double>(train_pass_.next - epoch_started_batch_);
  return static_cast<double>(options_.epochs * train_pass_.batches - steps_done()) * per_step;
}

bool Trainer::line_due() const {
  return !settings_.quiet && line_.due(seconds_since(started_at_) + seconds_left());
}

void Trainer::show_progress() {
  const double left = seconds_left();
  const PassMetrics& train = progress_.train;
  line_.show(
      {fmt::format("epoch {}/{} [{}/{}]", progress_.epoch + 1, options_.epochs, train_pass_.next,
                   train_pass_.batches),
       fmt::format("recon {:.4f}", train.reconstruction_loss()),
       fmt::format("perplexity {:.1f}", train.perplexity()),
       fmt::format("{:.0f}:{:02.0f} left", std::floor(left / 60), std::floor(std::fmod(left, 60))),
       fmt::format("{:.0f} images/s",
                   static_cast<double>(images_seen()) / seconds_since(epoch_started_at_)),
       fmt::format("codebook {:.4f}", train.codebook_loss()),
       fmt::format("codes {}", train.histogram().used())});
}

void Trainer::show_epoch(double seconds) const {
  const PassMetrics &train = progress_.train, &test = progress_.test;
  line_.keep({fmt::format("epoch {}/{}", progress_.epoch + 1, options_.epochs),
              fmt::format("recon {:.4f}", train.reconstruction_loss()),
              fmt::format("{} {:.4f}", evaluated_images(options_), test.reconstruction_loss()),
              fmt::format("perplexity {:.1f}", train.perplexity()),
              fmt::format("codes {}/{}", test.histogram().used(), test.histogram().counts().size()),
              fmt::format("{:.0f} s", seconds),
              fmt::format("codebook {:.4f}", train.codebook_loss())});
}

}  // namespace versor
