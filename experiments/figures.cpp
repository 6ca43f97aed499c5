// Figures 1 to 8 of the paper, and the gradient statistics that its authors logged.
//   1-5   test images and their reconstructions at epochs 0, 25, 50, 75 and 99 of the final run of
//         100 epochs, and its training curves
//   6-8   t-SNE of the codebook at epochs 0, 25 and 49; besides these panels of the paper, the
//         untrained codebook and the whole evolution
//   target   pictures; the paper's caption "epoch e" means the state after e + 1 epochs
//   ours     both presets, first seed; twice the epochs of the tables, continuing one of their runs
//   command  make figures;  smaller: make figures EPOCHS=5 TRAIN=10000 (a final run of 10 epochs)
#include <fmt/format.h>

#include <filesystem>
#include <numbers>

#include "experiments/report/section.h"
#include "experiments/run/snapshot.h"
#include "experiments/study/experiment.h"
#include "experiments/study/figure_epochs.h"
#include "experiments/tsne/embedding.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;

const char* kFinal = "final";

void plan(Study& study) {
  for (const std::string& preset : study.options().presets)
    study.add(
        kFinal, preset, [](RunOptions& o) { o.epochs *= 2; }, /*one_seed=*/true);
}

// --- figures 1-5 --------------------------------------------------------------------------------

void add_reconstructions(const Study& study, Section& section, const Series& series) {
  const Run& run = series.first();
  const auto kept = snapshot_epochs(run.folder);
  check(!kept.empty(), "figures", run.folder,
        " has no snapshots: remove the folder to train again");
  const std::vector<int64_t> shown = figure_epochs(kept, run.options.epochs).pictures;
  const std::string folder = study.options().results + "/figures";
  fs::create_directories(folder);
  for (size_t f = 0; f < std::size(kPaperPictures); ++f) {
    const int64_t epoch = shown[f];
    const std::string name = fmt::format("figure{}-{}.png", f + 1, series.preset);
    fs::copy_file(read_snapshot(run.folder, epoch).picture, folder + "/" + name,
                  fs::copy_options::overwrite_existing);
    section.pictures.push_back(
        {.file = "figures/" + name,
         .caption = fmt::format(
             "Figure {} (the paper's epoch {}), preset {}: test images and, below each row, "
             "their reconstructions after {} of {} epochs. The paper shows training images "
             "instead, others at each epoch.",
             f + 1, kPaperPictures[f], series.preset, epoch, run.options.epochs),
         .label = fmt::format("figure {}, {}, after {} of {} epochs", f + 1, series.preset, epoch,
                              run.options.epochs),
         .originals = "figures 1 to 5",
         .images = images_pictured(*run.config)});
  }
}

void add_training_curves(const Study& study, Section& section) {
  const std::tuple<const char*, const char*, bool> quantities[] = {
      {"loss", "total loss", true},
      {"recon_loss", "reconstruction loss", true},
      {"codebook_loss", "codebook loss", true},
      {"perplexity", "perplexity of a batch", false}};
  for (const auto& [metric, words, log_y] : quantities) {
    Plot plot;
    plot.file = fmt::format("final-{}", metric);
    plot.title = fmt::format("final run: {}", words);
    plot.y_label = words;
    plot.log_y = log_y;
    int colour = 0;
    for (const std::string& preset : study.options().presets) {
      const Series& series = study.find(kFinal, preset);
      for (const char* pass : {"train", "test"})
        plot.curves.push_back(epoch_curve(fmt::format("{}, {}", preset, pass),
                                          series.curve(fmt::format("{}_{}", pass, metric)), colour,
                                          std::string(pass) == "test"));
      ++colour;
    }
    add_plot(section, study.options().results, plot,
             fmt::format("Training curves of the final run: {}.", words));
  }
}

// --- figures 6-8 --------------------------------------------------------------------------------

// A codebook as points. Equal codes share one point.
Panel panel_of(const Snapshot& snapshot, const Embedding& embedding, int64_t epochs) {
  Panel panel;
  int64_t dead = 0;
  for (size_t k = 0; k < snapshot.counts.size(); ++k) {
    // No code of an untrained codebook has been used yet; that does not make it dead.
    const bool is_dead = snapshot.epoch > 0 && snapshot.counts[k] == 0;
    dead += is_dead;
    panel.points.push_back({embedding.xy[2 * k], embedding.xy[2 * k + 1],
                            snapshot.epoch > 0 ? snapshot.counts[k] : 1, is_dead});
  }
  panel.title = snapshot.epoch == 0
                    ? std::string("untrained")
                    : fmt::format("after {} of {}, {} dead", snapshot.epoch, epochs, dead);
  return panel;
}

void add_codebooks(const Study& study, Section& section, const Series& series) {
  const Run& run = series.first();
  const auto shown = figure_epochs(snapshot_epochs(run.folder), run.options.epochs).codebooks;
  Plot plot;
  plot.file = fmt::format("figures6-8-{}", series.preset);
  plot.title = fmt::format("t-SNE of the codebook, preset {}", series.preset);
  std::string quality;
  for (int64_t epoch : shown) {
    const Snapshot snapshot = read_snapshot(run.folder, epoch);
    const Embedding embedding = tsne(snapshot.codebook, {.seed = run.options.seed});
    plot.panels.push_back(panel_of(snapshot, embedding, run.options.epochs));
    quality += fmt::format("{}{:.3f} ({} distinct codes)", quality.empty() ? "" : ", ",
                           embedding.kl, embedding.distinct);
  }
  add_plot(
      section, study.options().results, plot,
      fmt::format("Figures 6 to 8, preset {}: untrained, and the paper's epochs 0, 25 and 49 "
                  "(after {}, {} and {} epochs). t-SNE with perplexity 30, learning rate 200, "
                  "1000 iterations. A point's area is the code's use in that epoch; a cross is "
                  "a code that nothing used. KL: {}.",
                  series.preset, shown[1], shown[2], shown[3], quality));
}

// Each panel starts from the layout of the previous one, so that codes can be followed.
void add_evolution(const Study& study, Section& section, const Series& series) {
  const Run& run = series.first();
  Plot plot;
  plot.file = fmt::format("evolution-{}", series.preset);
  plot.title = fmt::format("evolution of the codebook, preset {}", series.preset);
  std::vector<double> start;
  for (int64_t epoch : figure_epochs(snapshot_epochs(run.folder), run.options.epochs).evolution) {
    const Snapshot snapshot = read_snapshot(run.folder, epoch);
    const Embedding embedding = tsne(snapshot.codebook, {.seed = run.options.seed}, start);
    plot.panels.push_back(panel_of(snapshot, embedding, run.options.epochs));
    start = embedding.xy;
  }
  add_plot(section, study.options().results, plot,
           fmt::format("The full evolution of the codebook, preset {}; each panel starts from the "
                       "layout before it.",
                       series.preset));
}

// --- gradient flow ------------------------------------------------------------------------------

// The layers and residual blocks of the encoders and decoders, by the names of their columns:
// "encoder.4" of "encoder.4.conv1.weight.norm".
std::vector<std::string> layers_of(const MetricsTable& table) {
  std::vector<std::string> layers;
  for (const std::string& column : table.columns) {
    const size_t number = column.find('.') + 1, end = column.find('.', number);
    if (!(column.starts_with("encoder") || column.starts_with("decoder")) || number == 0) continue;
    const std::string layer = column.substr(0, end);
    if (layers.empty() || layers.back() != layer) layers.push_back(layer);
  }
  return layers;
}

void add_gradient_flow(const Study& study, Section& section) {
  constexpr double kDegrees = 180 / std::numbers::pi;
  Plot scale{.file = "gradient-scale",
             .title = "what the rotation does: lengths",
             .y_label = "ratio of lengths",
             .log_y = true};
  Plot angle{.file = "gradient-angle",
             .title = "what the rotation does: directions",
             .y_label = "degrees"};
  int colour = 0;
  for (const std::string& preset : study.options().presets) {
    const Series& series = study.find(kFinal, preset);
    const auto column = [&](const char* name, double factor = 1) {
      auto values = series.curve(name, "gradients.csv");
      for (double& v : values) v *= factor;
      return values;
    };
    scale.curves.push_back(epoch_curve("mean lambda, " + preset, column("mean_lambda"), colour));
    scale.curves.push_back(
        epoch_curve("largest lambda, " + preset, column("max_lambda"), colour, true));
    angle.curves.push_back(
        epoch_curve("between e and q, " + preset, column("mean_angle", kDegrees), colour));
    angle.curves.push_back(epoch_curve("gradient turned by, " + preset,
                                       column("gradient_angle", kDegrees), colour + 4, true));
    ++colour;

    Plot flow{.file = "gradient-norms-" + preset,
              .title = "norm of the loss's gradient, preset " + preset,
              .y_label = "norm",
              .log_y = true};
    const auto table = read_metrics(series.first().folder + "/gradients.csv");
    int layer_colour = 0;
    for (const std::string& layer : layers_of(table)) {
      std::vector<double> norms(table.rows.size());
      for (size_t c = 0; c < table.columns.size(); ++c)
        if (table.columns[c].starts_with(layer + ".") && table.columns[c].ends_with(".norm"))
          for (size_t i = 0; i < norms.size(); ++i)
            norms[i] = std::hypot(norms[i], table.rows[i][c]);
      flow.curves.push_back(epoch_curve(layer, norms, layer_colour++, layer[0] == 'd'));
    }
    add_plot(section, study.options().results, flow,
             fmt::format("Gradient flow, preset {}: norm of the gradient of each layer or residual "
                         "block, one training batch after every epoch (gradients.csv of the run "
                         "has norm, mean and standard deviation of every parameter).",
                         preset));
  }
  add_plot(section, study.options().results, scale,
           "lambda = |q|/|e|, by which `rotation` scales the gradient (the preset published does "
           "not; its lambda is shown all the same).");
  add_plot(
      section, study.options().results, angle,
      "Angle between e and q, and between the encoder's gradient and the straight-through one.");
}

void fill_section(const Study& study, Section& section) {
  section.title = "Figures 1 to 8: reconstructions, codebooks, gradient flow";
  section.notes.push_back(
      "Untrained and scaled-down states take the places that the paper's epochs "
      "would have in a run of 100.");
  for (const std::string& preset : study.options().presets)
    add_reconstructions(study, section, study.find(kFinal, preset));
  add_training_curves(study, section);
  for (const std::string& preset : study.options().presets) {
    add_codebooks(study, section, study.find(kFinal, preset));
    add_evolution(study, section, study.find(kFinal, preset));
  }
  add_gradient_flow(study, section);
}

}  // namespace

int main(int argc, char** argv) {
  Experiment e{.name = "figures",
               .summary = "Figures 1-8: reconstructions, training curves, t-SNE of the codebook."};
  e.plan = plan;
  e.fill_section = fill_section;
  e.paper_epochs = kPaperEpochs;
  return run_experiment(argc, argv, e);
}
