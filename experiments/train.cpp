// Trains one VQ-VAE. The defaults are the paper's sizes with the choices that we consider right;
// `--preset published` trains like the runs behind the paper's tables.
//   bin/train --preset published --beta 0.25 --epochs 1 --seed 1
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/cli/program.h"
#include "experiments/run/option_table.h"
#include "experiments/run/trainer.h"

using namespace versor;

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
  app.add_flag("--quiet", settings.quiet, "no progress");
  app.add_flag("!--no-graph", settings.graph,
               "on a GPU, call every step's kernels one by one; the results are the same");
  return run_program(app, argc, argv, [&] {
    resolve(options);
    const DatasetPair images = load_data(options);
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
    if (end == TrainingEnd::interrupted) {
      fmt::print(stderr, "\ninterrupted; saved in {}, the same command goes on from there\n",
                 settings.folder);
      return kInterrupted;
    }
    const MetricsTable metrics = read_metrics(settings.folder + "/metrics.csv");
    fmt::print(
        "{} after {} epochs: train recon {:.4f} codebook {:.4f} perplexity {:.1f}, {} recon "
        "{:.4f} (PSNR {:.2f} dB) perplexity {:.1f}\n",
        end == TrainingEnd::was_finished ? "finished before," : "finished", metrics.rows.size(),
        metrics.last("train_recon_loss"), metrics.last("train_codebook_loss"),
        metrics.last("train_perplexity"), evaluated_images(options),
        metrics.last("test_recon_loss"), metrics.last("test_psnr"),
        metrics.last("test_perplexity"));
    return 0;
  });
}
