// Runs side by side: see own_runs.h.
#include "experiments/study/own_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/report/page.h"
#include "experiments/report/statistics.h"
#include "experiments/study/run_settings.h"
#include "experiments/study/runs.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

struct Figure {
  const char *column, *title;
  int decimals;
};
constexpr Figure kFigures[] = {{"train_recon_loss", "Recon Loss", 4},
                               {"test_recon_loss", "Test Recon", 4},
                               {"test_psnr", "Test PSNR", 2},
                               {"test_codebook_loss", "Test Codebook", 4},
                               {"test_perplexity", "Test Perplexity", 2},
                               {"test_codes_used", "Codes used", 0},
                               {"test_bits_per_image", "Bits per image", 1}};

Table settings_table(const std::vector<Setting>& settings, const std::vector<std::string>& keys) {
  Table table{.file = kOwnRuns, .title = "Runs by their settings"};
  table.notes = {
      "After the last epoch that all seeds have; mean ± standard deviation over the seeds."};
  table.columns = {"run", "epochs", "seeds"};
  for (const std::string& key : keys) table.columns.push_back(short_name(key));
  for (const Figure& figure : kFigures) table.columns.push_back(figure.title);
  for (const Setting& s : settings) {
    std::string seeds;
    for (const OwnRun& run : s.runs)
      seeds += fmt::format("{}{}", seeds.empty() ? "" : ", ", run.seed);
    std::vector<std::string> row = {
        s.label, fmt::format("{} of {}", s.epochs(), s.runs.front().epochs), seeds};
    for (const std::string& key : keys) row.push_back(value_in(s.config(), key));
    for (const Figure& figure : kFigures) {
      const Summary values = s.epochs() > 0 ? s.at(figure.column, s.epochs()) : Summary{};
      row.push_back(values.n == 0 ? "–" : to_text(values, figure.decimals));
    }
    table.rows.push_back(row);
  }
  return table;
}

Table runs_table(const std::vector<Setting>& settings) {
  Table table{.file = "own-runs-each", .title = "Each run: hardware, precision, commit, images"};
  table.columns = {"folder", "setting",   "seed",   "epochs", "s/epoch",
                   "device", "precision", "commit", "images", "pixels and labels"};
  for (const Setting& s : settings)
    for (const OwnRun& run : s.runs) {
      double seconds = 0;
      for (double epoch : run.record.seconds) seconds += epoch;
      const RunRecord& r = run.record;
      table.rows.push_back(
          {run.folder, s.label, std::to_string(run.seed),
           fmt::format("{} of {}{}", run.done(), run.epochs,
                       run.ended_early() ? ", ended early" : ""),
           r.seconds.empty()
               ? "–"
               : fmt::format("{:.1f}", seconds / static_cast<double>(r.seconds.size())),
           r.hardware.empty() ? r.device : r.hardware, r.precision, r.commit,
           fmt::format("{}: {} training, {} test", run.config["data"].get<std::string>(),
                       run.config["train_images"].dump(), run.config["test_images"].dump()),
           run.config["data_fingerprint"].get<std::string>()});
    }
  return table;
}

// The setting of the least test reconstruction loss; null if none has finished an epoch.
const Setting* best_of(const std::vector<Setting>& settings) {
  const auto loss = [](const Setting& s) {
    const double mean = s.epochs() > 0 ? s.at("test_recon_loss", s.epochs()).mean : NAN;
    return std::isnan(mean) ? INFINITY : mean;
  };
  const auto best =
      std::min_element(settings.begin(), settings.end(),
                       [&](const auto& a, const auto& b) { return loss(a) < loss(b); });
  return best == settings.end() || std::isinf(loss(*best)) ? nullptr : &*best;
}

// --- plots and pictures --------------------------------------------------------------------------

// The mean over the seeds within the band of their least and largest; one curve for each seed while
// they have not come equally far.
void add_curves(const Setting& s, const std::string& column, const std::string& name, int colour,
                bool dashed, Plot& plot) {
  std::vector<const OwnRun*> runs;
  for (const OwnRun& run : s.runs)
    if (run.has(column)) runs.push_back(&run);
  if (runs.empty()) return;
  const bool together = std::all_of(runs.begin(), runs.end(), [&](const OwnRun* run) {
    return run->done() == runs.front()->done();
  });
  if (!together) {
    for (const OwnRun* run : runs)
      plot.curves.push_back(epoch_curve(fmt::format("{}, seed {}", name, run->seed),
                                        run->metrics.column(column), colour, dashed));
    return;
  }
  std::vector<double> mean, low, high;
  for (const OwnRun* run : runs) {
    const auto values = run->metrics.column(column);
    mean.resize(values.size());
    low.resize(values.size(), INFINITY);
    high.resize(values.size(), -INFINITY);
    for (size_t i = 0; i < values.size(); ++i) {
      mean[i] += values[i] / static_cast<double>(runs.size());
      low[i] = std::min(low[i], values[i]);
      high[i] = std::max(high[i], values[i]);
    }
  }
  Curve curve = epoch_curve(name, mean, colour, dashed);
  if (runs.size() > 1) {
    curve.low = low;
    curve.high = high;
  }
  plot.curves.push_back(curve);
}

void add_plots(const std::vector<Setting>& settings, const std::string& results, Section& section) {
  struct Quantity {
    const char *name, *words;
    bool log_y;
  };
  constexpr Quantity kQuantities[] = {{"recon_loss", "reconstruction loss", true},
                                      {"codebook_loss", "codebook loss", true},
                                      {"perplexity", "perplexity of a batch", false},
                                      {"loss", "total loss", true},
                                      {"codes_used", "codes used", false},
                                      {"bits_per_image", "bits per image (entropy)", false},
                                      {"quantization_ratio", "mse(e,q)/var(e)", true}};
  for (const Quantity& q : kQuantities) {
    Plot plot{.file = fmt::format("{}-{}", kOwnRuns, q.name),
              .title = q.words,
              .y_label = q.words,
              .log_y = q.log_y};
    int colour = 0;
    for (const Setting& s : settings) {
      for (const char* pass : {"train", "test"})
        add_curves(s, fmt::format("{}_{}", pass, q.name), fmt::format("{}, {}", s.label, pass),
                   colour, std::string(pass) == "test", plot);
      ++colour;
    }
    if (!plot.curves.empty())
      add_plot(section, results, plot,
               fmt::format("{}; dashed: test images. Bands: from the least to the largest of the "
                           "seeds.",
                           q.words));
  }
}

// The training between the epochs, for long ones; every seed by itself.
void add_steps(const std::vector<Setting>& settings, const std::string& results, Section& section) {
  constexpr size_t kMostPoints = 500;  // of a curve
  Plot plot{.file = fmt::format("{}-steps", kOwnRuns),
            .title = "training, step by step: reconstruction loss",
            .x_label = "step",
            .log_y = true};
  int colour = 0;
  for (const Setting& s : settings) {
    for (const OwnRun& run : s.runs) {
      const auto& columns = run.steps.columns;
      const auto has = [&](const char* name) {
        return std::find(columns.begin(), columns.end(), name) != columns.end();
      };
      if (run.steps.rows.size() < 2 || !has("step") || !has("recon_loss")) continue;
      const auto x = run.steps.column("step"), y = run.steps.column("recon_loss");
      Curve curve{fmt::format("{}, seed {}", s.label, run.seed), {}, {}, colour};
      const size_t every = x.size() / kMostPoints + 1;
      for (size_t i = (x.size() - 1) % every; i < x.size(); i += every) {
        curve.x.push_back(x[i]);
        curve.y.push_back(y[i]);
      }
      plot.curves.push_back(curve);
    }
    ++colour;
  }
  if (!plot.curves.empty())
    add_plot(section, results, plot,
             "The mean since the row before, from steps.csv: a row every ten seconds and at the "
             "end of an epoch.");
}

// Of each setting the first run that has a picture; the best setting first.
void add_pictures(const std::vector<Setting>& settings, Section& section) {
  const Setting* best = best_of(settings);
  for (const Setting& s : settings)
    for (const OwnRun& run : s.runs) {
      const std::string path = run.folder + "/reconstructions.png";
      if (!is_there(path)) continue;
      try {
        section.pictures.push_back(
            {.file = path,
             .caption =
                 "The first test images and their reconstructions, of each setting the first "
                 "run.",
             .label = s.label,
             .originals = run.config["data_fingerprint"].get<std::string>(),
             .images = images_pictured(run.config),
             .png = read_file(path)});
        if (&s == best)
          std::rotate(section.pictures.begin(), section.pictures.end() - 1, section.pictures.end());
      } catch (const Error& e) {
        section.damaged.push_back(e.what());
      }
      break;
    }
}

// Losses of different images are not compared.
std::string best_sentence(const std::vector<Setting>& settings) {
  const Setting* best = best_of(settings);
  size_t begun = 0, runs = 0;
  bool same_images = true;
  for (const Setting& s : settings) {
    runs += s.runs.size();
    begun += s.epochs() > 0;
    same_images = same_images &&
                  s.config()["data_fingerprint"] == settings.front().config()["data_fingerprint"];
  }
  const std::string what = fmt::format("{} run{} of {} setting{}", runs, runs == 1 ? "" : "s",
                                       settings.size(), settings.size() == 1 ? "" : "s");
  if (best == nullptr) return what + ": none has finished an epoch yet.";
  if (begun > 1 && !same_images)
    return what + ": they use different images, so their losses are not compared.";
  return fmt::format("{}: {}{}, a test reconstruction loss of {} after {} of {} epochs.", what,
                     begun > 1 ? "the best is " : "", best->label,
                     to_text(best->at("test_recon_loss", best->epochs()), 4), best->epochs(),
                     best->runs.front().epochs);
}

}  // namespace

Section own_runs_section(const std::vector<std::string>& folders, const std::string& results) {
  Section section;
  section.name = kOwnRuns;
  section.title = "Own runs: their curves, what differs between them, and reconstructions";
  const Settings read = read_settings(folders);
  const std::vector<Setting>& settings = read.all;
  const std::vector<std::string>& keys = read.keys;
  section.notes = read.notes;
  section.damaged = read.damaged;
  if (settings.empty()) return section;
  section.findings = {best_sentence(settings)};
  std::string common;
  for (const auto& entry : settings.front().config().items())
    if (entry.key() != "seed" && std::find(keys.begin(), keys.end(), entry.key()) == keys.end())
      common += fmt::format("{}{} {}", common.empty() ? "" : ", ", title_of(entry.key()),
                            value_in(settings.front().config(), entry.key()));
  section.notes.insert(section.notes.begin(), "Common to all: " + common);
  for (const Setting& s : settings) {
    if (s.runs.front().held_back)
      section.notes.push_back(s.label +
                              ": \"test\" means images held back from the training images");
    for (const OwnRun& run : s.runs) section.runs.push_back(run.record);
  }
  section.tables = {settings_table(settings, keys), runs_table(settings)};
  add_pictures(settings, section);
  add_plots(settings, results, section);
  add_steps(settings, results, section);
  return section;
}

}  // namespace versor
