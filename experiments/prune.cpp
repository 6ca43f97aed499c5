// Leaves of finished runs what reports and users need: the config, the tables of numbers, the
// model, the pictures, and the snapshots that `figures` draws. Removes what only a trainer reads,
// the checkpoints, which are most of a run, and the other snapshots.
//   bin/prune results/runs/* --dry-run
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/cli/program.h"
#include "experiments/run/run_folder.h"
#include "experiments/run/snapshot.h"
#include "experiments/study/figure_epochs.h"
#include "tensor/file.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kOfTrainer[] = {"trainer.safetensors", "trainer.previous.safetensors",
                                      "trainer.damaged.safetensors"};

struct FinishedRun {
  std::string folder;
  std::vector<fs::path> removed;          // what can go
  uint64_t bytes = 0, removed_bytes = 0;  // of all files, and of those
  std::unique_ptr<RunFolder> lock;        // held while files are removed
};

// The snapshots' files that `figures` would not show of the run.
std::vector<std::string> other_snapshots(const std::string& folder, int64_t epochs) {
  const std::vector<int64_t> kept = snapshot_epochs(folder);
  if (kept.empty()) return {};
  const FigureEpochs figures = figure_epochs(kept, epochs);
  std::set<int64_t> shown;
  for (const auto* list : {&figures.pictures, &figures.codebooks, &figures.evolution})
    shown.insert(list->begin(), list->end());
  std::vector<std::string> files;
  for (int64_t epoch : kept)
    if (!shown.contains(epoch))
      for (const std::string& file : snapshot_files(folder, epoch)) files.push_back(file);
  return files;
}

// Throws Error unless the folder holds a finished run that no process is using.
FinishedRun look_at(const std::string& folder, bool dry_run) {
  const Json config = config_in(folder + "/config.json");
  check(is_finished(folder, config), "prune", folder,
        " holds no finished run: it still needs its checkpoint");
  check(is_there(folder + "/model.safetensors"), "prune", folder,
        " has no model.safetensors: its checkpoint has the only weights");
  FinishedRun run;
  run.folder = folder;
  // Looking alone makes no file, not even the lock.
  if (!dry_run || is_there(folder + "/lock"))
    run.lock = std::make_unique<RunFolder>(folder, config);
  std::vector<std::string> files = other_snapshots(folder, config["epochs"].get<int64_t>());
  for (const char* name : kOfTrainer) files.push_back(folder + "/" + name);
  for (const std::string& file : files)
    if (fs::is_regular_file(file)) run.removed.emplace_back(file);
  for (const fs::path& file : run.removed) run.removed_bytes += fs::file_size(file);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) run.bytes += entry.file_size();
  return run;
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", 1e-6 * static_cast<double>(bytes));
}

void prune(const FinishedRun& run, bool dry_run) {
  for (const fs::path& file : run.removed) {
    if (dry_run)
      fmt::print("would remove {}  {}\n", file.string(), megabytes(fs::file_size(file)));
    else
      fs::remove(file);
  }
  fmt::print("{}  {} -> {}\n", run.folder, megabytes(run.bytes),
             megabytes(run.bytes - run.removed_bytes));
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Leaves of finished runs what reports and users need, and removes checkpoints.");
  std::vector<std::string> folders;
  bool dry_run = false;
  app.add_option("runs", folders, "folders of finished runs")->required();
  app.add_flag("--dry-run", dry_run, "list what would be removed, and remove nothing");
  return run_program(app, argc, argv, [&] {
    std::vector<FinishedRun> runs;  // all are looked at before the first file goes
    for (const std::string& folder : folders) runs.push_back(look_at(folder, dry_run));
    uint64_t bytes = 0, removed = 0;
    for (const FinishedRun& run : runs) {
      prune(run, dry_run);
      bytes += run.bytes;
      removed += run.removed_bytes;
    }
    fmt::print("{}  {} -> {}; a run of more epochs cannot continue a pruned one\n",
               runs.size() == 1 ? "1 run" : fmt::format("{} runs", runs.size()), megabytes(bytes),
               megabytes(bytes - removed));
    return 0;
  });
}
