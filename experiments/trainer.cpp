// Trainer: see trainer.h.
#include "experiments/trainer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "experiments/gradient_probe.h"
#include "experiments/snapshot.h"
#include "tensor/ops.h"

namespace versor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Independent streams of random numbers of one run.
enum Purpose : uint64_t { kModel = 1, kShuffle = 2 };

constexpr double kSecondsBetweenSaves = 120;
constexpr int64_t kPictures = 16;
constexpr const char* kTimingHeader =
    "epoch,train_seconds,eval_seconds,images_per_second,peak_bytes";

volatile std::sig_atomic_t signal_received = 0;

extern "C" void note_signal(int signal) {
  signal_received = 1;
  std::signal(signal, SIG_DFL);  // a second one ends the process
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_received = 0;
  std::signal(SIGINT, note_signal);
  std::signal(SIGTERM, note_signal);
}
InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}
bool InterruptGuard::interrupted() {
  return signal_received != 0;
}

Trainer::Trainer(const RunOptions& options, const DatasetPair& images, TrainerSettings settings)
    : options_(options),
      config_(std::make_shared<nlohmann::ordered_json>(config_of(options, images))),
      settings_(std::move(settings)),
      folder_(settings_.folder, *config_, backend_for(parse_device(options.device)).info().name),
      device_(parse_device(options.device)),
      rng_(options.seed),
      model_(model_options(options), device_, rng_.split(kModel)),
      adam_(model_.parameters(), {.lr = static_cast<float>(options.lr)}),
      train_images_(images.train, options.batch_size, device_),
      // Evaluation has no smallest batch: a small test set is one batch.
      test_images_(images.test, std::min(options.batch_size, images.test.size()), device_),
      arena_(std::make_shared<MemoryPool::Arena>(backend_for(device_).pool())),
      train_pass_(train_images_, options.codes, device_),
      test_pass_(test_images_, options.codes, device_),
      guard_(train_pass_.batch),
      train_(options.codes) {}

Trainer::Pass::Pass(const Batcher& images, int64_t codes, Device device)
    : order(images.in_order()),
      batch(ops::zeros({1}, device, DType::i32)),
      log(images.batches(), codes, device) {}

TrainingEnd Trainer::run() {
  if (is_finished(folder_.path(), *config_)) return TrainingEnd::was_finished;
  const InterruptGuard guard;
  folder_.continue_shorter_run(*config_);
  if (!restore()) {
    start_codebook();
    write_snapshot(folder_.path(), 0, model_, UsageHistogram(options_.codes).counts(), pictured());
  }
  saved_at_ = shown_at_ = Clock::now();
  while (epoch_ < options_.epochs) {
    train_epoch();
    const double train_seconds = seconds_since(epoch_started_at_);
    if (InterruptGuard::interrupted()) {
      save();
      return TrainingEnd::interrupted;
    }
    const auto start = Clock::now();
    const PassMetrics test = evaluate();
    finish_epoch(test, train_seconds, seconds_since(start));
  }
  return TrainingEnd::finished;
}

// k-means sees the first max(8K, R) latents of the untrained encoder: whole batches of the first
// epoch, until there are enough.
void Trainer::start_codebook() {
  if (model_.options().codebook.start != CodebookStart::kmeans) return;
  const NoGradGuard no_grad;
  const Epoch epoch = train_images_.shuffled(rng_.split(kShuffle), 0);
  std::vector<float> latents;
  const auto wanted = static_cast<size_t>(8 * options_.codes * options_.latent);
  for (int64_t b = 0; b < epoch.batches() && latents.size() < wanted; ++b) {
    const auto batch = model_.encode(epoch.batch(b)).value().to_vector<float>();
    latents.insert(latents.end(), batch.begin(), batch.end());
  }
  const auto rows = static_cast<int64_t>(latents.size()) / options_.latent;
  model_.codebook().start_from(Tensor::from(latents, {rows, options_.latent}, device_));
}

// Enqueues one batch of a pass. The numbers that differ from step to step (which batch, Adam's t,
// the updates of the codebook) are counted on the device by the step itself.
void Trainer::step(Pass& pass, int64_t batch, bool training) {
  const int64_t count = pass.order.batch_count(batch);
  const auto beta = static_cast<float>(options_.beta);
  Backend& backend = backend_for(device_);
  Replay& replay = pass.replays.try_emplace(count, backend, arena_, settings_.graph).first->second;
  replay.run([&] {
    const Tensor images = pass.order.batch_at(pass.batch, count);
    if (training) {
      const StepResult result = training_step(model_, adam_, images, beta, &guard_);
      pass.log.record(result.output, result.loss, pass.batch);
    } else {
      const VqVaeOutput output = model_(images);
      pass.log.record(output, vqvae_loss(output, images, beta), pass.batch);
    }
    ops::increment(pass.batch);
  });
}

void Trainer::train_epoch() {
  model_.set_training(true);
  Tensor order = train_pass_.order.order();
  ops::copy(order, train_images_.shuffled(rng_.split(kShuffle), epoch_).order());
  ops::fill(train_pass_.batch, static_cast<float>(batch_));
  const int64_t batches = train_images_.batches();
  // Without a recording every step is looked at as it ends.
  const bool at_once = !(settings_.graph && backend_for(device_).info().can_record);
  epoch_started_at_ = Clock::now();
  epoch_started_batch_ = taken_ = batch_;
  while (batch_ < batches && !InterruptGuard::interrupted()) {
    step(train_pass_, batch_++, true);
    if (at_once) take_metrics();
    progress(batch_, batches);
    if (time_to_save(batch_)) save();
  }
  take_metrics();
}

// Reads what the steps since the last time have logged, and whether all of it was finite.
void Trainer::take_metrics() {
  if (taken_ == batch_) return;
  if (const auto found = guard_.found())
    fail_not_finite(str(found->tensor, " is not finite in step ", found->step + 1));
  train_.add(train_pass_.log, taken_, batch_);
  taken_ = batch_;
}

// Leaves the model to look at: a network that has not moved since, a codebook that may have moved
// once more where the encoder's output was still finite.
void Trainer::fail_not_finite(const std::string& what) {
  const std::string file = folder_.file("not-finite.safetensors");
  write_safetensors(file, {state_dict(model_), {}});
  fail("train", what, " of epoch ", epoch_ + 1, "; the model as it was then is in ", file);
}

PassMetrics Trainer::evaluate() {
  const NoGradGuard no_grad;
  model_.set_training(false);
  ops::fill(test_pass_.batch, 0.f);
  const int64_t batches = test_images_.batches();
  for (int64_t b = 0; b < batches; ++b) step(test_pass_, b, false);
  PassMetrics test(options_.codes);
  test.add(test_pass_.log, 0, batches);
  // What the last step of the epoch has broken shows here first.
  if (!std::isfinite(test.loss())) fail_not_finite("the loss is not finite in the evaluation");
  return test;
}

void Trainer::finish_epoch(const PassMetrics& test, double train_seconds, double eval_seconds) {
  const int64_t epoch = epoch_ + 1;
  const int64_t steps = batch_ - epoch_started_batch_;
  MemoryPool& pool = backend_for(device_).pool();
  rows_.push_back(metrics_row(epoch, train_, test));
  timings_.push_back(fmt::format("{},{:.3f},{:.3f},{:.1f},{}", epoch, train_seconds, eval_seconds,
                                 static_cast<double>(steps * options_.batch_size) / train_seconds,
                                 pool.peak_bytes()));
  if (!settings_.quiet) {
    std::fprintf(
        stderr, "%s%s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
        fmt::format("epoch {}/{}  train recon {:.4f} codebook {:.4f} perplexity {:.1f}  "
                    "test recon {:.4f} perplexity {:.1f}  codes {}/{}  {:.0f} s",
                    epoch, options_.epochs, train_.reconstruction_loss(), train_.codebook_loss(),
                    train_.perplexity(), test.reconstruction_loss(), test.perplexity(),
                    test.histogram().used(), options_.codes, train_seconds + eval_seconds)
            .c_str());
  }
  draw_reconstructions(folder_.file("reconstructions.png"), model_, pictured());
  if (is_kept(epoch, options_.epochs))
    write_snapshot(folder_.path(), epoch, model_, train_.histogram().counts(), pictured());
  gradients_.push_back(gradients_row(epoch, model_, train_images_.in_order().batch(0),
                                     static_cast<float>(options_.beta)));
  ++epoch_;
  batch_ = taken_ = 0;
  train_ = PassMetrics(options_.codes);
  folder_.write_csv("timing.csv", kTimingHeader, timings_);
  folder_.write_csv("gradients.csv", gradients_header(model_), gradients_);
  // The checkpoint comes before the row that says the epoch is done: killed in between, the run
  // resumes after the epoch and writes the row from the checkpoint's copy.
  save();
  write_safetensors(folder_.file("model.safetensors"), {state_dict(model_), {}});
  folder_.write_csv("metrics.csv", metrics_header(), rows_);
}

// The first test images.
Tensor Trainer::pictured() const {
  const Tensor first = test_images_.in_order().batch(0);
  return first.rows(0, std::min(kPictures, first.dim(0)));
}

bool Trainer::time_to_save(int64_t batch) const {
  if (settings_.save_every > 0) return batch % settings_.save_every == 0;
  return seconds_since(saved_at_) > kSecondsBetweenSaves;
}

// Everything that the rest of the run depends on, in one file.
void Trainer::save() {
  take_metrics();
  SafetensorsFile file;
  for (auto& [name, tensor] : state_dict(model_)) file.tensors["model." + name] = tensor;
  const auto parameters = model_.named_parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    file.tensors["adam.m." + parameters[i].first] = adam_.first_moments()[i];
    file.tensors["adam.v." + parameters[i].first] = adam_.second_moments()[i];
  }
  file.tensors["adam.step"] = adam_.step_counter();
  file.tensors["codebook.updates"] = model_.codebook().update_counter();
  const nlohmann::json position = {
      {"epoch", epoch_}, {"batch", batch_}, {"train", train_.save()}, {"rows", rows_}};
  file.metadata["position"] = position.dump();
  write_safetensors(folder_.file("trainer.safetensors"), file);
  saved_at_ = Clock::now();
}

bool Trainer::restore() {
  if (!folder_.has("trainer.safetensors")) return false;
  const std::string path = folder_.file("trainer.safetensors");
  SafetensorsFile file = read_safetensors(path), model;
  for (auto& [name, tensor] : file.tensors)
    if (name.starts_with("model.")) model.tensors[name.substr(6)] = tensor;
  load_state_dict(model_, model, path);
  const auto parameters = model_.named_parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    ops::copy(adam_.first_moments()[i], file.at("adam.m." + parameters[i].first, path).to(device_));
    ops::copy(adam_.second_moments()[i],
              file.at("adam.v." + parameters[i].first, path).to(device_));
  }
  ops::copy(adam_.step_counter(), file.at("adam.step", path).to(device_));
  ops::copy(model_.codebook().update_counter(), file.at("codebook.updates", path).to(device_));
  try {
    const auto position = nlohmann::json::parse(file.metadata["position"]);
    epoch_ = position.at("epoch").get<int64_t>();
    batch_ = position.at("batch").get<int64_t>();
    train_.load(position.at("train"));
    rows_ = position.at("rows").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, ": its position is malformed (", e.what(), ")");
  }
  timings_ = folder_.csv_rows("timing.csv", epoch_);
  gradients_ = folder_.csv_rows("gradients.csv", epoch_);
  if (epoch_ > 0) {
    // Killed between checkpoint and these two, an epoch's end left them behind.
    if (batch_ == 0) write_safetensors(folder_.file("model.safetensors"), {state_dict(model_), {}});
    folder_.write_csv("metrics.csv", metrics_header(), rows_);
  }
  if (!settings_.quiet)
    std::fprintf(stderr, "resuming after %lld epochs and %lld batches\n",
                 static_cast<long long>(epoch_), static_cast<long long>(batch_));
  return true;
}

// One line: rewritten on a terminal five times a second, else a plain line every half minute.
void Trainer::progress(int64_t batch, int64_t batches) {
  const bool terminal = isatty(STDERR_FILENO);
  if (settings_.quiet || seconds_since(shown_at_) < (terminal ? 0.2 : 30)) return;
  shown_at_ = Clock::now();
  take_metrics();
  const double per_step =
      seconds_since(epoch_started_at_) / static_cast<double>(batch - epoch_started_batch_);
  const auto left = static_cast<double>((options_.epochs - epoch_) * batches - batch) * per_step;
  std::fprintf(
      stderr, "%s%s%s", terminal ? "\r" : "",
      fmt::format("epoch {}/{} [{}/{}]  loss {:.4f} recon {:.4f} codebook {:.4f}  perplexity {:.1f}"
                  "  codes {}  {:.0f} images/s  {:.0f}:{:02.0f} left",
                  epoch_ + 1, options_.epochs, batch, batches, train_.loss(),
                  train_.reconstruction_loss(), train_.codebook_loss(), train_.perplexity(),
                  train_.histogram().used(), static_cast<double>(options_.batch_size) / per_step,
                  std::floor(left / 60), std::floor(std::fmod(left, 60)))
          .c_str(),
      terminal ? "\033[K" : "\n");
}

}  // namespace versor
