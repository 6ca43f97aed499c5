// The folder of a run: see run_folder.h.
#include "experiments/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "experiments/cli/json_file.h"
#include "experiments/cli/version.h"
#include "experiments/run/appended_file.h"
#include "experiments/run/run_config.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = "trainer.safetensors";

std::string commit_in(const std::string& path) {
  try {
    return read_json<nlohmann::json>(path).at("commit").get<std::string>();
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
}

// The lines of a file that may end in the middle of one, which is left out.
std::vector<std::string> complete_lines(const std::string& text) {
  std::istringstream in(text.substr(0, text.rfind('\n') + 1));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

nlohmann::ordered_json config_in(const std::string& path) {
  try {
    return read_json<nlohmann::ordered_json>(path).at("options");
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
}

nlohmann::ordered_json source_in(const std::string& path) {
  const auto record = read_json<nlohmann::ordered_json>(path);
  const auto none = nlohmann::ordered_json::object();
  return record.is_object() ? record.value("source", none) : none;
}

DatasetPair images_of_run(const RunOptions& options, const nlohmann::ordered_json& config,
                          const std::string& path) {
  DatasetPair images = load_data(options);
  check(config.value("data_fingerprint", "") == identity_of(images).hash, "run", path,
        " is of other images than those that were read, ", images.train.title(),
        " (--data, --data-dir)");
  return images;
}

RunFolder::RunFolder(std::string path, const nlohmann::ordered_json& config,
                     const std::string& hardware, const RunOptions* options)
    : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  check(!error, "run", "cannot make the folder ", path_, ": ", error.message());
  lock_ = open(file("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(lock_ >= 0, "run", "cannot write to the folder ", path_, ": ", std::strerror(errno));
  try {
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0)
      fail("run", "the folder ", path_,
           errno == EWOULDBLOCK ? " is in use by another process"
                                : str(" cannot be locked: ", std::strerror(errno)));
    if (has("config.json")) {
      const auto held = config_in(file("config.json"));
      check(held == config, "run", "the folder ", path_, " holds a run with ",
            differing_options(held, config), "; choose another --out");
    } else {
      nlohmann::ordered_json record = {{"options", config},
                                       {"version", version()},
                                       {"commit", commit()},
                                       {"hardware", hardware},
                                       {"compiler", compiler_flags()}};
      if (options != nullptr) record["source"] = source_of(*options);
      write_file(file("config.json"), json_text(record, 2));
    }
  } catch (...) {
    close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  close(lock_);
}  // releases the lock

bool RunFolder::has(const std::string& name) const {
  return is_there(file(name));
}

std::vector<std::string> RunFolder::csv_rows(const std::string& name, int64_t keep) const {
  std::vector<std::string> rows;
  if (!has(name)) return rows;
  rows = complete_lines(read_file(file(name)));
  if (!rows.empty()) rows.erase(rows.begin());
  rows.resize(std::min(rows.size(), static_cast<size_t>(keep)));
  return rows;
}

void RunFolder::write_csv(const std::string& name, const std::string& header,
                          const std::vector<std::string>& rows) const {
  std::string text = header + "\n";
  for (const std::string& row : rows) text += row + "\n";
  append_up_to(file(name), text);
}

void RunFolder::note_ranks(int ranks) const {
  const std::string path = file("config.json");
  auto record = read_json<nlohmann::ordered_json>(path);
  try {
    // Older runs do not say that they were trained by one process.
    const bool older = !record.contains("ranks") && has(kCheckpoint);
    auto sizes = record.value("ranks", older ? std::vector<int>{1} : std::vector<int>());
    if (std::ranges::find(sizes, ranks) != sizes.end()) return;
    sizes.push_back(ranks);
    record["ranks"] = sizes;
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  write_file(path, json_text(record, 2));
}

void RunFolder::continue_shorter_run(const nlohmann::ordered_json& config) const {
  if (has(kCheckpoint)) return;
  for (int64_t epochs = config["epochs"].get<int64_t>() - 1; epochs > 0; --epochs) {
    const auto shorter = beginning_of(config, epochs, file("config.json"));
    const fs::path from = fs::path(path_).parent_path() / run_name(shorter);
    if (!is_finished(from.string(), shorter) || !is_there((from / kCheckpoint).string())) continue;
    auto record = read_json<nlohmann::ordered_json>(file("config.json"));
    record["continues"] = {{"run", from.filename().string()},
                           {"epochs", epochs},
                           {"commit", commit_in((from / "config.json").string())}};
    record["ranks"] = read_json<nlohmann::ordered_json>((from / "config.json").string())
                          .value("ranks", std::vector<int>{1});
    write_file(file("config.json"), json_text(record, 2));
    const auto overwrite = fs::copy_options::overwrite_existing;
    if (is_there((from / "snapshots").string()))
      fs::copy(from / "snapshots", file("snapshots"), overwrite | fs::copy_options::recursive);
    for (const char* name : {"timing.csv", "gradients.csv", "steps.csv", "best.safetensors"})
      if (is_there((from / name).string())) versor::copy_file((from / name).string(), file(name));
    // The checkpoint is copied last and atomically: once it is there, the run has begun.
    versor::copy_file((from / kCheckpoint).string(), file(kCheckpoint));
    return;
  }
}

std::vector<ThreadsTwin> threads_twins(const std::string& runs,
                                       const nlohmann::ordered_json& config) {
  const std::string name = run_name(config);
  const std::string slug = name.substr(0, name.rfind('-') + 1);  // all but the hash
  std::vector<ThreadsTwin> twins;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(runs, error)) {
    const std::string folder = entry.path().string();
    if (!entry.path().filename().string().starts_with(slug) || !is_there(folder + "/config.json"))
      continue;
    try {
      const auto theirs = config_in(folder + "/config.json");
      auto same = beginning_of(config, theirs.at("epochs").get<int64_t>(), folder);
      same["threads"] = theirs.at("threads");
      const ThreadsTwin twin{folder, theirs["threads"].get<int>(), theirs["epochs"].get<int64_t>(),
                             is_finished(folder, theirs)};
      if (theirs == same && twin.threads != config["threads"] &&
          twin.epochs <= config["epochs"].get<int64_t>() &&
          ((twin.finished && twin.epochs == config["epochs"]) ||
           is_there(folder + "/" + kCheckpoint)))
        twins.push_back(twin);
    } catch (const std::exception&) {
      continue;
    }
  }
  std::sort(twins.begin(), twins.end(), [](const ThreadsTwin& a, const ThreadsTwin& b) {
    return std::tie(a.threads, a.epochs) < std::tie(b.threads, b.epochs);
  });
  return twins;
}

std::string note_on_threads(const std::string& folder, const nlohmann::ordered_json& config) {
  if (is_there(folder + "/" + kCheckpoint) || is_finished(folder, config)) return "";
  std::string notes;
  for (const ThreadsTwin& twin : threads_twins(fs::path(folder).parent_path().string(), config))
    notes +=
        str("note: ", twin.folder, " is ", twin.finished ? "a finished" : "an unfinished",
            " run of the same options with ", twin.threads, " threads",
            twin.epochs == config["epochs"] ? "" : str(" and ", twin.epochs, " epochs"),
            "; with --threads ", twin.threads, " the same command goes on with it, with ",
            config["threads"].get<int>(), " it begins anew: the number changes the last bits\n");
  return notes;
}

bool has_ended(const nlohmann::ordered_json& config, const MetricsTable& metrics) {
  const auto epochs = static_cast<int64_t>(metrics.rows.size());
  if (epochs == config["epochs"].get<int64_t>()) return true;
  if (!config.contains("patience")) return false;
  const int64_t patience = count_in(config["patience"], metrics.path);
  return patience > 0 && epochs > 0 && epochs - best_epoch(metrics) >= patience;
}

int64_t best_epoch(const MetricsTable& metrics) {
  const auto losses = metrics.column("test_recon_loss");
  return std::min_element(losses.begin(), losses.end()) - losses.begin() + 1;
}

bool is_finished(const std::string& folder, const nlohmann::ordered_json& config) {
  for (const char* name : {"/config.json", "/metrics.csv"})
    if (!is_there(folder + name)) return false;
  if (config_in(folder + "/config.json") != config) return false;
  if (config.contains("patience")) return has_ended(config, read_metrics(folder + "/metrics.csv"));
  const auto lines = complete_lines(read_file(folder + "/metrics.csv"));
  return static_cast<int64_t>(lines.size()) == 1 + config["epochs"].get<int64_t>();
}

}  // namespace versor
