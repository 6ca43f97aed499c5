// Runs by their settings: see run_settings.h.
#include "experiments/study/run_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "experiments/cli/json_file.h"
#include "experiments/run/run_folder.h"
#include "experiments/study/runs.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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
    if (run.config.contains("patience")) count_in(run.config["patience"], path);
    if (run.config.contains("validation_images"))
      run.held_back = count_in(run.config["validation_images"], path) > 0;
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  run.record = record_of({{}, std::make_shared<Json>(run.config), folder});
  run.metrics = read_growing_metrics(folder + "/metrics.csv");
  run.steps = read_growing_metrics(folder + "/steps.csv");
  return run;
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
      const bool telling = key != "threads" && key != "data_fingerprint";
      if (keys.size() > kNamed && (named == kNamed || !telling || is_usual(settings, key, value)))
        continue;
      if (value.size() > kLongest) value.resize(kLongest);
      s.label += fmt::format("{}{} {}", named > 0 ? ", " : "", short_name(key), value);
      ++named;
    }
    if (s.label.empty())
      s.label = settings.size() > 1  ? "as most"
                : s.runs.size() == 1 ? s.runs[0].record.folder
                                     : "all seeds";
    if (const int number = ++known[s.label]; number > 1) s.label += fmt::format(" ({})", number);
  }
}

}  // namespace

bool OwnRun::ended_early() const {
  return has("test_recon_loss") && done() < epochs && has_ended(config, metrics);
}

bool OwnRun::has(const std::string& column) const {
  const auto& columns = metrics.columns;
  return done() > 0 && std::find(columns.begin(), columns.end(), column) != columns.end();
}

int64_t Setting::epochs() const {
  int64_t least = 0;
  for (const OwnRun& run : runs)
    if (run.done() > 0) least = least == 0 ? run.done() : std::min(least, run.done());
  return least;
}

Summary Setting::at(const std::string& column, int64_t epoch) const {
  std::vector<double> values;
  for (const OwnRun& run : runs)
    if (run.has(column) && run.done() >= epoch)
      values.push_back(run.metrics.column(column)[static_cast<size_t>(epoch - 1)]);
  return summarize(values);
}

std::vector<std::string> run_folders(const std::vector<std::string>& named) {
  std::vector<std::string> all;
  for (std::string folder : named) {
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    check(is_there(folder), "report", "there is no folder ", folder);
    std::vector<std::string> found = {folder};
    if (!is_run(folder)) found = runs_in(folder);
    if (found.empty()) found = runs_in(folder + "/runs");
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

Settings read_settings(const std::vector<std::string>& folders) {
  Settings settings;
  std::vector<Setting>& all = settings.all;
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
      settings.notes.push_back(
          fmt::format("{} and {} are the same run, which counts once.", copy->folder, run.folder));
      if (copy->done() < run.done()) *copy = std::move(run);
    } catch (const Error& e) {
      settings.damaged.push_back(e.what());
    }
  settings.keys = differing_keys(all);
  name_settings(all, settings.keys);
  return settings;
}

std::string short_name(const std::string& key) {
  std::string title = title_of(key);
  if (title.ends_with(':')) title.pop_back();
  title.erase(0, title.find_first_not_of('-'));
  return title;
}

}  // namespace versor
