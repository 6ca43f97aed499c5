// The log of a run: see run_log.h.
#include "experiments/run/run_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "experiments/run/clock.h"

namespace versor {
namespace {

constexpr double kSecondsBetweenSteps = 10;
constexpr const char *kMetrics = "metrics.csv", *kTiming = "timing.csv",
                     *kGradients = "gradients.csv", *kSteps = "steps.csv",
                     *kPicture = "reconstructions.png", *kEvents = "tensorboard";
constexpr const char* kTimingHeader =
    "epoch,train_seconds,eval_seconds,images_per_second,peak_bytes,ranks,accumulate";
constexpr const char* kOneRank = ",1,1";  // which older rows do not say
constexpr const char* kStepsHeader =
    "epoch,batch,step,seconds,loss,recon_loss,codebook_loss,perplexity,codes_used,"
    "images_per_second,learning_rate";

// "train_recon_loss" is train/recon_loss, which TensorBoard shows in a group.
std::string tag_of(std::string column) {
  for (const char* pass : {"train_", "test_"})
    if (column.starts_with(pass)) column[column.find('_')] = '/';
  return column;
}

}  // namespace

RunLog::RunLog(const RunFolder& folder, bool tensorboard, int64_t steps_an_epoch,
               const std::string& gradients_header)
    : folder_(folder),
      tensorboard_(tensorboard),
      steps_an_epoch_(steps_an_epoch),
      gradients_header_(gradients_header) {}

int64_t RunLog::step_of(const Progress& progress) const {
  return progress.epoch * steps_an_epoch_ + progress.train.batches();
}

void RunLog::restart(const Progress& progress) {
  started_at_ = Clock::now();
  timings_ = folder_.csv_rows(kTiming, progress.epoch);
  for (std::string& row : timings_)
    if (std::ranges::count(row, ',') == 4) row += kOneRank;
  gradients_ = folder_.csv_rows(kGradients, progress.epoch);
  if (progress.epoch > 0) {
    folder_.write_csv(kTiming, kTimingHeader, timings_);
    folder_.write_csv(kGradients, gradients_header_, gradients_);
    finish_epoch(progress);
  }
  restart_steps(step_of(progress));
  if (!tensorboard_) return;
  const std::string folder = folder_.file(kEvents);
  const bool before = has_events(folder);
  // Where only the evaluation is left, the numbers of the epoch, which has that last step, are new.
  const bool trained = progress.train.batches() == steps_an_epoch_;
  events_.emplace(folder, step_of(progress) + (trained ? 0 : 1));
  for (int64_t epoch = 1; !before && epoch <= progress.epoch; ++epoch)
    add_scalars(metrics_header(), progress.rows[static_cast<size_t>(epoch - 1)],
                epoch * steps_an_epoch_, "");
}

// Leaves out the rows of later steps and, after one that is malformed, all.
void RunLog::restart_steps(int64_t step) {
  std::string text = std::string(kStepsHeader) + "\n";
  for (const auto& row : folder_.csv_rows(kSteps, std::numeric_limits<int64_t>::max())) {
    double at = 0, seconds = 0;
    if (std::sscanf(row.c_str(), "%*d,%*d,%lf,%lf,", &at, &seconds) != 2 ||
        at > static_cast<double>(step))
      break;
    text += row + "\n";
    earlier_seconds_ = seconds;
  }
  append_up_to(folder_.file(kSteps), text);
  steps_.emplace(folder_.file(kSteps));
}

RunLog::Sums RunLog::sums_of(const PassMetrics& train) {
  const auto n = static_cast<double>(train.batches());
  if (n == 0) return {};
  return {n,
          train.images(),
          n * train.loss(),
          n * train.reconstruction_loss(),
          n * train.codebook_loss(),
          n * train.perplexity()};
}

void RunLog::begin_steps(const PassMetrics& train) {
  before_ = sums_of(train);
  logged_at_ = Clock::now();
}

bool RunLog::step_due() const {
  return seconds_since(logged_at_) >= kSecondsBetweenSteps;
}

void RunLog::add_step(const Progress& progress, double learning_rate) {
  const Sums now = sums_of(progress.train);
  const double n = now.batches - before_.batches;
  if (n == 0) return;
  const std::string row = fmt::format(
      "{},{},{},{:.3f},{:.8g},{:.8g},{:.8g},{:.8g},{},{:.1f},{:.6g}", progress.epoch + 1,
      progress.train.batches(), step_of(progress), earlier_seconds_ + seconds_since(started_at_),
      (now.loss - before_.loss) / n, (now.reconstruction - before_.reconstruction) / n,
      (now.codebook - before_.codebook) / n, (now.perplexity - before_.perplexity) / n,
      progress.train.histogram().used(), (now.images - before_.images) / seconds_since(logged_at_),
      learning_rate);
  steps_->append(row + "\n");
  add_scalars(kStepsHeader, row, step_of(progress), "steps/");
  begin_steps(progress.train);
}

void RunLog::add_scalars(const std::string& header, const std::string& row, int64_t step,
                         const std::string& prefix) {
  if (!events_) return;
  const MetricsTable table = parse_metrics(header + "\n" + row + "\n", folder_.path());
  std::vector<std::pair<std::string, double>> values;
  for (size_t i = 0; i < table.columns.size(); ++i)
    values.emplace_back(prefix + tag_of(table.columns[i]), table.rows[0][i]);
  events_->add_scalars(step, values);
}

void RunLog::add_epoch(const Progress& progress, const std::string& timing,
                       const std::string& gradients) {
  timings_.push_back(timing);
  gradients_.push_back(gradients);
  folder_.write_csv(kTiming, kTimingHeader, timings_);
  folder_.write_csv(kGradients, gradients_header_, gradients_);
  add_scalars(metrics_header(), progress.rows.back(), step_of(progress), "");
  if (events_)
    events_->add_picture(step_of(progress), "reconstructions", read_file(folder_.file(kPicture)));
}

void RunLog::finish_epoch(const Progress& progress) const {
  folder_.write_csv(kMetrics, metrics_header(), progress.rows);
}

}  // namespace versor
