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
#include "experiments/run/run_config.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

namespace fs = std::filesystem;

std::string commit_in(const std::string& path) {
  try {
    return read_json<nlohmann::json>(path).at("commit").get<std::string>();
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
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
      write_file(file("config.json"), record.dump(2) + "\n");
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
  std::istringstream text(read_file(file(name)));
  std::string line;
  std::getline(text, line);
  while (static_cast<int64_t>(rows.size()) < keep && std::getline(text, line)) rows.push_back(line);
  return rows;
}

void RunFolder::write_csv(const std::string& name, const std::string& header,
                          const std::vector<std::string>& rows) const {
  std::string text = header + "\n";
  for (const std::string& row : rows) text += row + "\n";
  write_file(file(name), text);
}

void RunFolder::continue_shorter_run(const nlohmann::ordered_json& config) const {
  if (has("trainer.safetensors")) return;
  nlohmann::ordered_json shorter = config;
  for (int64_t epochs = config["epochs"].get<int64_t>() - 1; epochs > 0; --epochs) {
    shorter["epochs"] = epochs;
    const fs::path from = fs::path(path_).parent_path() / run_name(shorter);
    if (!is_finished(from.string(), shorter)) continue;
    auto record = read_json<nlohmann::ordered_json>(file("config.json"));
    record["continues"] = {{"run", from.filename().string()},
                           {"epochs", epochs},
                           {"commit", commit_in((from / "config.json").string())}};
    write_file(file("config.json"), record.dump(2) + "\n");
    const auto overwrite = fs::copy_options::overwrite_existing;
    if (is_there((from / "snapshots").string()))
      fs::copy(from / "snapshots", file("snapshots"), overwrite | fs::copy_options::recursive);
    for (const char* name : {"timing.csv", "gradients.csv"})
      if (is_there((from / name).string())) write_file(file(name), read_file(from / name));
    // The checkpoint is copied last and atomically: once it is there, the run has begun.
    versor::copy_file((from / "trainer.safetensors").string(), file("trainer.safetensors"));
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
      auto same = config;
      same["threads"] = theirs.at("threads");
      same["epochs"] = theirs.at("epochs");
      const ThreadsTwin twin{folder, theirs["threads"].get<int>(), theirs["epochs"].get<int64_t>(),
                             is_finished(folder, theirs)};
      if (theirs == same && twin.threads != config["threads"] &&
          twin.epochs <= config["epochs"].get<int64_t>() &&
          (twin.finished || is_there(folder + "/trainer.safetensors")))
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
  if (is_there(folder + "/trainer.safetensors") || is_finished(folder, config)) return "";
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

bool is_finished(const std::string& folder, const nlohmann::ordered_json& config) {
  for (const char* name : {"/config.json", "/metrics.csv"})
    if (!is_there(folder + name)) return false;
  if (config_in(folder + "/config.json") != config) return false;
  std::istringstream metrics(read_file(folder + "/metrics.csv"));
  int64_t lines = 0;
  for (std::string line; std::getline(metrics, line);) ++lines;
  return lines == 1 + config["epochs"].get<int64_t>();
}

}  // namespace versor
