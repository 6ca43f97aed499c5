// Recorded runs: see recorded_runs.h.
#include "experiments/study/recorded_runs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "experiments/cli/json_file.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"
#include "experiments/study/paper.h"
#include "tensor/file.h"

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

// The paper's config, and the options in which runs may differ from it.
const Json& published_config() {
  static const Json config = [] {
    RunOptions options;
    options.preset = Preset::published;
    apply_preset(options);
    return config_of(options, ImagesIdentity{"CIFAR-10", "", 50'000, 10'000});
  }();
  return config;
}
constexpr const char* kFree[] = {"beta",   "codes",     "epochs",  "seed",
                                 "device", "precision", "threads", "data_fingerprint"};

// true, 1 and 1.0 are the same value.
bool same(const Json& a, const Json& b) {
  const auto number = [](const Json& v) -> std::optional<double> {
    if (v.is_boolean()) return v.get<bool>() ? 1 : 0;
    return v.is_number() ? std::optional(v.get<double>()) : std::nullopt;
  };
  const auto x = number(a), y = number(b);
  return x && y ? *x == *y : a == b;
}

bool is_published(const Json& options) {
  if (options.value("estimator", "") != "published") return false;
  for (const auto& [key, value] : options.items()) {
    if (std::find(std::begin(kFree), std::end(kFree), key) != std::end(kFree)) continue;
    if (published_config().contains(key)) {
      if (!same(value, published_config()[key])) return false;
      continue;
    }
    // Rarely used options are in a config only where they differ from what is usual.
    const auto& table = run_option_table();
    RunOptions usual;
    apply_preset(usual);
    const auto option = std::find_if(table.begin(), table.end(),
                                     [&key = key](const auto& o) { return o.key() == key; });
    if (option == table.end() || !same(value, option->value(usual))) return false;
  }
  return true;
}

// Throws Error or nlohmann's exception if the run cannot be read. Nothing: it is another recipe or
// shorter.
std::optional<RecordedRun> read_run(const std::string& folder) {
  const std::string path = folder + "/config.json";
  const auto config = read_json<Json>(path);
  check(config.is_object(), "recorded runs", path, " is malformed: no object");
  const Json options = config.value("options", config);
  check(options.is_object(), "recorded runs", path, " is malformed: its options are no object");
  if (!is_published(options)) return {};
  RecordedRun run;
  run.folder = folder;
  run.epochs = count_in(options.at("epochs"), path);
  if (run.epochs < kPaperEpochs) return {};
  run.codes = count_in(options.at("codes"), path);
  run.seed = static_cast<uint64_t>(count_in(options.at("seed"), path));
  run.beta = options.at("beta").get<double>();
  check(std::isfinite(run.beta) && run.beta >= 0, "recorded runs", path, ": beta is ", run.beta);
  run.precision = options.at("precision").get<std::string>();
  check(run.precision == "fp32" || run.precision == "tf32", "recorded runs", path, ": it is in ",
        run.precision, ", and the paper's runs were not");
  run.hardware = config.value("hardware", "");
  if (run.hardware.empty()) run.hardware = options.value("device", "unknown");
  run.commit = config.value("commit", "unknown");
  run.metrics = read_metrics(folder + "/metrics.csv");
  for (const MetricColumn& column : table3_columns()) {
    const auto values = run.metrics.column(column.metric);
    check(!values.empty(), "recorded runs", run.metrics.path, " has no epochs");
    for (double value : values)
      check(std::isfinite(value) && value > 0, "recorded runs", run.metrics.path, ": ",
            column.metric, " is ", value);
  }
  return run;
}

}  // namespace

std::vector<double> RecordedRun::logs(const std::string& column) const {
  auto values = metrics.column(column);
  for (double& value : values) value = std::log(value);
  return values;
}

RecordedRuns read_recorded_runs(const std::vector<std::string>& places) {
  namespace fs = std::filesystem;
  RecordedRuns all;
  for (const std::string& place : places) {
    std::vector<std::string> folders;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(place, none))
      if (is_there(entry.path() / "config.json")) folders.push_back(entry.path().string());
    std::sort(folders.begin(), folders.end());
    for (const std::string& folder : folders) {
      try {
        if (auto run = read_run(folder)) all.runs.push_back(std::move(*run));
      } catch (const nlohmann::json::exception& e) {
        all.left_out.push_back(folder + ": " + e.what());
      } catch (const Error& e) {
        all.left_out.push_back(folder + ": " + e.what());
      }
    }
  }
  const auto identity = [](const RecordedRun& r) { return std::tuple(r.codes, r.beta, r.seed); };
  const auto length = [](const RecordedRun& r) { return r.metrics.rows.size(); };
  std::stable_sort(all.runs.begin(), all.runs.end(), [&](const auto& a, const auto& b) {
    return std::tuple(identity(a), length(b)) < std::tuple(identity(b), length(a));
  });
  const auto last =
      std::unique(all.runs.begin(), all.runs.end(),
                  [&](const auto& a, const auto& b) { return identity(a) == identity(b); });
  all.runs.erase(last, all.runs.end());
  const auto whole = std::stable_partition(all.runs.begin(), all.runs.end(), [&](const auto& run) {
    return length(run) >= static_cast<size_t>(kPaperEpochs);
  });
  all.cut_off.assign(std::make_move_iterator(whole), std::make_move_iterator(all.runs.end()));
  all.runs.erase(whole, all.runs.end());
  return all;
}

}  // namespace versor
