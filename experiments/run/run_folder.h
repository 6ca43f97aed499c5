// The folder of one training run: what it is (config.json), what came out (metrics.csv, model,
// pictures), and what it needs to go on after an interruption (trainer.safetensors).
//   results/runs/<name>/config.json metrics.csv gradients.csv timing.csv model.safetensors
//                       trainer.safetensors reconstructions.png snapshots/
// Every file is written under another name and renamed, so that it is always whole.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace versor {

class RunFolder {
 public:
  // Opens or makes the folder and locks it until the end of the process's life. Throws Error if it
  // cannot be written, belongs to a run with another config, or is in use by another process.
  // `hardware` is what the run computes on, for the record.
  RunFolder(std::string path, const nlohmann::ordered_json& config,
            const std::string& hardware = "");
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  bool has(const std::string& name) const;

  // Rows of a CSV file without its heading; none if it is not there. Rows after the first `keep`
  // are left out: they belong to epochs that a resumed run will repeat.
  std::vector<std::string> csv_rows(const std::string& name, int64_t keep) const;
  void write_csv(const std::string& name, const std::string& header,
                 const std::vector<std::string>& rows) const;

  // A run is the beginning of every longer run of the same options; with a schedule of the learning
  // rate the config names its epochs twice, and no shorter run has these options. Copies what the
  // longest finished shorter run beside this folder left, so that this one goes on from there. Does
  // nothing if there is none, or once this run has begun.
  void continue_shorter_run(const nlohmann::ordered_json& config) const;

 private:
  std::string path_;
  int lock_ = -1;
};

// Whether the run of this config in this folder has all its epochs.
bool is_finished(const std::string& folder, const nlohmann::ordered_json& config);

// A run that differs from another one's config in the number of threads, and may have fewer epochs.
struct ThreadsTwin {
  std::string folder;
  int threads;
  int64_t epochs;
  bool finished;
};
// Those with a checkpoint or finished in a folder of runs, fewest threads first. Folders that
// cannot be read as runs are passed over.
std::vector<ThreadsTwin> threads_twins(const std::string& runs,
                                       const nlohmann::ordered_json& config);

// Where a run is about to begin and its twins beside it have begun before: a note for each, which
// says how to go on with it. The number of threads changes the last bits of oneDNN's sums, so that
// no run goes on with another number by itself.
std::string note_on_threads(const std::string& folder, const nlohmann::ordered_json& config);

}  // namespace versor
