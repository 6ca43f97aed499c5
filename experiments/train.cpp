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
// The number of "120steps"; nothing if it is malformed.
std::optional<int64_t> parse_steps(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || number < 1 || std::string(stop, end) != "steps") return {};
  return number;
}
const Check kDuration = {"DURATION", [](const std::string& text) {
                           return parse_duration(text) || parse_steps(text)
                                      ? ""
                                      : text + " is no duration like 90s, 30m, 2h or 500steps";
                         }};

std::string how_it_ended(TrainingEnd end, const RunOptions& options, const MetricsTable& metrics) {
  const size_t epochs = metrics.rows.size();
  const char* what = end == TrainingEnd::was_finished ? "finished before, after" : "finished after";
  if (static_cast<int64_t>(epochs) == options.epochs)
    return fmt::format("{} {} epochs", what, epochs);
  return fmt::format("{} {} of {} epochs, {} without a better one than epoch {}", what, epochs,
                     options.epochs, options.patience, best_epoch(metrics));
}

std::string how_many(const RunOptions& options, const Communicator& ranks) {
  if (ranks.is_alone()) return fmt::format("{} threads", options.threads);
  return fmt::format("{} ranks with {} threads each on this host", ranks.size(),
                     options.rank_threads);
}

void report(TrainingEnd end, const RunOptions& options, const TrainerSettings& settings) {
  if (end == TrainingEnd::was_finished && options.tensorboard)
    fmt::print(stderr, "the run was finished before: no event files are written\n");
  if (end == TrainingEnd::interrupted) {
    fmt::print(stderr, "\ninterrupted; saved in {}, the same command goes on from there\n",
               settings.folder);
    return;
  }
  if (end == TrainingEnd::stopped) {
    fmt::print("stopped after {}; saved in {}, the same command goes on from there\n",
               settings.stop_after > 0 ? fmt::format("{:.0f} s", settings.stop_after)
                                       : fmt::format("{} steps", settings.stop_after_steps),
               settings.folder);
    return;
  }
  const MetricsTable metrics = read_metrics(settings.folder + "/metrics.csv");
  fmt::print(
      "{}: train recon {:.4f} codebook {:.4f} perplexity {:.1f}, {} recon "
      "{:.4f} (PSNR {:.2f} dB) perplexity {:.1f}\n",
      how_it_ended(end, options, metrics), metrics.last("train_recon_loss"),
      metrics.last("train_codebook_loss"), metrics.last("train_perplexity"),
      evaluated_images(options), metrics.last("test_recon_loss"), metrics.last("test_psnr"),
      metrics.last("test_perplexity"));
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
         [&](const std::string& text) {
           settings.stop_after = parse_duration(text).value_or(0);
           settings.stop_after_steps = parse_steps(text).value_or(0);
         },
         "", "save and stop after 90s, 30m, 2h or 500steps; the same command goes on")
      ->check(kDuration);
  app.add_flag("--quiet", settings.quiet, "no progress");
  app.add_flag("!--no-graph", settings.graph,
               "on a GPU, call every step's kernels one by one; the results are the same");
  return run_parallel_program(app, argc, argv, [&](Communicator& ranks) {
    settings.ranks = &ranks;
    DatasetPair images;
    together(ranks, [&] {
      resolve(options, ranks);
      images = load_data(options);
      fit_to_images(options, images);
    });
    const auto config = config_of(options, images);
    if (settings.folder.empty()) {
      settings.folder = results + "/runs/" + run_name(config);
      at_root(ranks, [&] { print_note(note_on_threads(settings.folder, config)); });
    }
    if (!settings.quiet)
      fmt::print("{}: {} of {}, {} on {}, {}\n", settings.folder, images.train.size(),
                 images.train.title(), name_of(options.precision),
                 backend_for(options.device).info().name, how_many(options, ranks));
    std::fflush(stdout);
    const TrainingEnd end = Trainer(options, images, settings).run();
    if (ranks.is_root()) report(end, options, settings);
    return end == TrainingEnd::interrupted ? kInterrupted : 0;
  });
}
