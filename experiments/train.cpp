// Trains one VQ-VAE. The defaults are the paper's sizes with the choices that we consider right;
// `--preset published` trains like the runs behind the paper's tables.
//   bin/train --preset published --beta 0.25 --epochs 1 --seed 1
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "experiments/cli/program.h"
#include "experiments/run/option_table.h"
#include "experiments/run/trainer.h"

using namespace versor;

namespace {

// Seconds of "90s", "30m", "2h", "1d" or a bare number of seconds; nothing if it is malformed.
std::optional<double> parse_duration(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || !(number > 0 && number < 1e9) || end - stop > 1) return {};
  switch (stop == end ? 's' : *stop) {
    case 's':
      return number;
    case 'm':
      return number * 60;
    case 'h':
      return number * 3600;
    case 'd':
      return number * 86400;
    default:
      return {};
  }
}
const Check kDuration = {"DURATION", [](const std::string& text) {
                           return parse_duration(text) ? ""
                                                       : text + " is no duration like 90s, 30m, 2h";
                         }};

std::string how_it_ended(TrainingEnd end, const RunOptions& options, const MetricsTable& metrics) {
  const size_t epochs = metrics.rows.size();
  const char* what = end == TrainingEnd::was_finished ? "finished before, after" : "finished after";
  if (static_cast<int64_t>(epochs) == options.epochs)
    return fmt::format("{} {} epochs", what, epochs);
  return fmt::format("{} {} of {} epochs, {} without a better one than epoch {}", what, epochs,
                     options.epochs, options.patience, best_epoch(metrics));
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Trains a VQ-VAE into a run folder; resumes what was interrupted.");
  RunOptions options;
  TrainerSettings settings;
  std::string results = "results";
  add_run_options(app, options);
  app.add_option("--out", settings.folder, "the run's folder; default RESULTS/runs/<name>");
  app.add_option("--results", results)->capture_default_str();
  app.add_option("--save-every", settings.save_every,
                 "steps between checkpoints inside an epoch; default every two minutes")
      ->check(in_range(1, int64_t{1} << 30));
  app.add_text(
         "--stop-after",
         [&](const std::string& text) { settings.stop_after = *parse_duration(text); }, "",
         "save and stop after 90s, 30m or 2h; the same command goes on")
      ->check(kDuration);
  app.add_flag("--quiet", settings.quiet, "no progress");
  app.add_flag("!--no-graph", settings.graph,
               "on a GPU, call every step's kernels one by one; the results are the same");
  return run_program(app, argc, argv, [&] {
    resolve(options);
    const DatasetPair images = load_data(options);
    fit_to_images(options, images);
    const auto config = config_of(options, images);
    if (settings.folder.empty()) {
      settings.folder = results + "/runs/" + run_name(config);
      fmt::print(stderr, "{}", note_on_threads(settings.folder, config));
    }
    if (!settings.quiet)
      fmt::print("{}: {} of {}, {} on {}, {} threads\n", settings.folder, images.train.size(),
                 images.train.title(), name_of(options.precision),
                 backend_for(options.device).info().name, options.threads);
    std::fflush(stdout);
    Trainer trainer(options, images, settings);
    const TrainingEnd end = trainer.run();
    if (end == TrainingEnd::was_finished && options.tensorboard)
      fmt::print(stderr, "the run was finished before: no event files are written\n");
    if (end == TrainingEnd::interrupted) {
      fmt::print(stderr, "\ninterrupted; saved in {}, the same command goes on from there\n",
                 settings.folder);
      return kInterrupted;
    }
    if (end == TrainingEnd::stopped) {
      fmt::print("stopped after {:.0f} s; saved in {}, the same command goes on from there\n",
                 settings.stop_after, settings.folder);
      return 0;
    }
    const MetricsTable metrics = read_metrics(settings.folder + "/metrics.csv");
    fmt::print(
        "{}: train recon {:.4f} codebook {:.4f} perplexity {:.1f}, {} recon "
        "{:.4f} (PSNR {:.2f} dB) perplexity {:.1f}\n",
        how_it_ended(end, options, metrics), metrics.last("train_recon_loss"),
        metrics.last("train_codebook_loss"), metrics.last("train_perplexity"),
        evaluated_images(options), metrics.last("test_recon_loss"), metrics.last("test_psnr"),
        metrics.last("test_perplexity"));
    return 0;
  });
}
