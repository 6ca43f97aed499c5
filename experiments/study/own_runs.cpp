// Runs side by side: see own_runs.h.
#include "experiments/study/own_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "experiments/report/page.h"
#include "experiments/report/statistics.h"
#include "experiments/run/run_folder.h"
#include "experiments/study/runs.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct OwnRun {
  std::string folder;
  Json config;
  RunRecord record;
  MetricsTable metrics;
  uint64_t seed = 0;
  int64_t epochs = 0;      // asked for
  bool held_back = false;  // its "test" images are training images

  int64_t done() const { return static_cast<int64_t>(metrics.rows.size()); }
  bool ended_early() const { return done() < epochs && has_ended(config, metrics); }
  bool has(const std::string& column) const {
    return done() > 0 && std::find(metrics.columns.begin(), metrics.columns.end(), column) !=
                             metrics.columns.end();
  }
};

// The runs that differ only in the seed.
struct Setting {
  std::string label;
  std::vector<OwnRun> runs;

  const Json& config() const { return runs.front().config; }
  // Epochs that all its begun runs have; 0 if none has begun.
  int64_t epochs() const {
    int64_t least = 0;
    for (const OwnRun& run : runs)
      if (run.done() > 0) least = least == 0 ? run.done() : std::min(least, run.done());
    return least;
  }
  Summary at(const std::string& column, int64_t epoch) const {
    std::vector<double> values;
    for (const OwnRun& run : runs)
      if (run.has(column) && run.done() >= epoch)
        values.push_back(run.metrics.column(column)[static_cast<size_t>(epoch - 1)]);
    return summarize(values);
  }
};

bool is_run(const fs::path& folder) {
  return is_there((folder / "config.json").string());
}

std::vector<std::string> runs_in(const std::string& folder) {
  std::vector<std::string> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (is_run(entry.path())) all.push_back(entry.path().string());
  std::sort(all.begin(), all.end());
  return all;
}

OwnRun read_run(const std::string& folder) {
  const std::string path = folder + "/config.json";
  OwnRun run;
  run.folder = folder;
  run.config = config_in(path);
  try {
    check(run.config.at("seed").is_number_unsigned(), "run", path, " is malformed: the seed");
    run.seed = run.config["seed"].get<uint64_t>();
    run.epochs = count_in(run.config.at("epochs"), path);
    for (const char* key : {"data", "data_fingerprint"}) run.config.at(key).get<std::string>();
    for (const char* key : {"train_images", "test_images", "batch_size"})
      count_in(run.config.at(key), path);
    if (run.config.contains("validation_images"))
      run.held_back = count_in(run.config["validation_images"], path) > 0;
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  run.record = record_of({{}, std::make_shared<Json>(run.config), folder});
  run.metrics = read_growing_metrics(folder + "/metrics.csv");
  return run;
}

// The runs by setting. Copies of one run count once.
std::vector<Setting> settings_of(const std::vector<std::string>& folders, Section& section) {
  std::vector<Setting> all;
  std::map<std::string, size_t> known;
  for (const std::string& folder : folders) try {
      OwnRun run = read_run(folder);
      Json key = run.config;
      key.erase("seed");
      const auto [at, is_new] = known.emplace(key.dump(), all.size());
      if (is_new) all.emplace_back();
      std::vector<OwnRun>& runs = all[at->second].runs;
      const auto copy = std::find_if(runs.begin(), runs.end(), [&](const OwnRun& other) {
        const auto common = std::min(other.metrics.rows.size(), run.metrics.rows.size());
        return other.seed == run.seed &&
               std::equal(run.metrics.rows.begin(),
                          run.metrics.rows.begin() + static_cast<int64_t>(common),
                          other.metrics.rows.begin());
      });
      if (copy == runs.end()) {
        runs.push_back(std::move(run));
        continue;
      }
      section.notes.push_back(
          fmt::format("{} and {} are the same run, which counts once.", copy->folder, run.folder));
      if (copy->done() < run.done()) *copy = std::move(run);
    } catch (const Error& e) {
      section.damaged.push_back(e.what());
    }
  return all;
}

// The keys in which the settings differ, in the order of the config.
std::vector<std::string> differing_keys(const std::vector<Setting>& settings) {
  std::vector<std::string> keys;
  for (const Setting& s : settings)
    for (const auto& entry : s.config().items())
      if (std::find(keys.begin(), keys.end(), entry.key()) == keys.end())
        keys.push_back(entry.key());
  std::erase_if(keys, [&](const std::string& key) {
    return key == "seed" || std::all_of(settings.begin(), settings.end(), [&](const Setting& s) {
             return value_in(s.config(), key) == value_in(settings.front().config(), key);
           });
  });
  return keys;
}

std::string title_in_table(const std::string& key) {
  std::string title = title_of(key);
  if (title.ends_with(':')) title.pop_back();
  title.erase(0, title.find_first_not_of('-'));
  return title;
}

// Whether more than half of the settings have this value.
bool is_usual(const std::vector<Setting>& settings, const std::string& key,
              const std::string& value) {
  const auto same = std::count_if(settings.begin(), settings.end(), [&](const Setting& s) {
    return value_in(s.config(), key) == value;
  });
  return 2 * static_cast<size_t>(same) > settings.size();
}

// "beta 0.5, lr 0.001": the options that differ or, of many, those in which it differs from most; a
// number behind it where that is not unique.
void name_settings(std::vector<Setting>& settings, const std::vector<std::string>& keys) {
  constexpr size_t kNamed = 3, kLongest = 20;
  std::map<std::string, int> known;
  for (Setting& s : settings) {
    size_t named = 0;
    for (const std::string& key : keys) {
      std::string value = value_in(s.config(), key);
      if (keys.size() > kNamed && (named == kNamed || is_usual(settings, key, value))) continue;
      if (value.size() > kLongest) value.resize(kLongest);
      s.label += fmt::format("{}{} {}", named > 0 ? ", " : "", title_in_table(key), value);
      ++named;
    }
    if (s.label.empty())
      s.label = settings.size() > 1  ? "as most"
                : s.runs.size() == 1 ? s.runs[0].record.folder
                                     : "all seeds";
    if (const int number = ++known[s.label]; number > 1) s.label += fmt::format(" ({})", number);
  }
}

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
  for (const std::string& key : keys) table.columns.push_back(title_in_table(key));
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
             .rows = rows_pictured(run.config),
             .png = read_file(path)});
      } catch (const Error& e) {
        section.damaged.push_back(e.what());
      }
      if (&s == best && !section.pictures.empty())
        std::rotate(section.pictures.begin(), section.pictures.end() - 1, section.pictures.end());
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

std::vector<std::string> run_folders(const std::vector<std::string>& named) {
  std::vector<std::string> all;
  for (std::string folder : named) {
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    check(is_there(folder), "report", "there is no folder ", folder);
    std::vector<std::string> found = {folder};
    if (!is_run(folder)) found = runs_in(folder);
    check(!found.empty(), "report", folder,
          " is not the folder of a run, and holds none: there is no config.json");
    for (const std::string& run : found)
      if (std::find(all.begin(), all.end(), run) == all.end()) all.push_back(run);
  }
  return all;
}

std::vector<std::string> other_runs(const std::string& results, const std::set<std::string>& used) {
  std::vector<std::string> all = runs_in(results + "/runs");
  std::erase_if(all, [&](const std::string& folder) {
    return used.contains(fs::path(folder).filename().string());
  });
  return all;
}

Section own_runs_section(const std::vector<std::string>& folders, const std::string& results) {
  Section section;
  section.name = kOwnRuns;
  section.title = "Own runs: their curves, what differs between them, and reconstructions";
  std::vector<Setting> settings = settings_of(folders, section);
  if (settings.empty()) return section;
  const auto keys = differing_keys(settings);
  name_settings(settings, keys);
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
  return section;
}

}  // namespace versor
