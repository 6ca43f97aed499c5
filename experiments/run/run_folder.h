// The folder of one training run: its config (config.json), its results (metrics.csv, model,
// pictures), and what it needs to resume after an interruption (trainer.safetensors).
//   results/runs/<name>/config.json metrics.csv gradients.csv timing.csv model.safetensors
//                       trainer.safetensors reconstructions.png snapshots/
// The CSV files are appended to, row by row. Every other file is written under another name and
// then renamed, so that it is always complete.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/run_options.h"

namespace versor {

class RunFolder {
 public:
  // Opens or makes the folder and locks it for the lifetime of this object; the lock also ends with
  // the process. Throws Error if the folder cannot be written, belongs to a run with another config
  // or is in use by another process. `hardware`, what the run computes on, is recorded, and if
  // `options` are given, where its images came from.
  RunFolder(std::string path, const nlohmann::ordered_json& config,
            const std::string& hardware = "", const RunOptions* options = nullptr);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  bool has(const std::string& name) const;

  // The rows of a CSV file without its header; none if there is no file. Rows after the first
  // `keep` are left out: they belong to epochs that a resumed run will repeat. So is a last row
  // without its line break, which a kill has cut off.
  std::vector<std::string> csv_rows(const std::string& name, int64_t keep) const;
  // Makes the file hold these rows; those that it has already stay where they are (append_up_to).
  void write_csv(const std::string& name, const std::string& header,
                 const std::vector<std::string>& rows) const;

  // Notes in config.json that so many ranks train the run, unless it says so already.
  void note_ranks(int ranks) const;

  // A run is the beginning of every longer run of the same options, except with a schedule of the
  // learning rate (lr_schedule_epochs in the config then differs). Copies the files of the longest
  // finished shorter run beside this folder that has its checkpoint, so that this run continues
  // from there. Does nothing if there is none, or if this run has begun already.
  void continue_shorter_run(const nlohmann::ordered_json& config) const;

 private:
  std::string path_;
  int lock_ = -1;
};

// The config that the config.json at `path` holds; the rest of it records how the run was made.
// Throws Error, naming the file, if it cannot be read or is malformed.
nlohmann::ordered_json config_in(const std::string& path);

// Where the run's images came from, for take_source (run_config.h), as the config.json at `path`
// says it.
nlohmann::ordered_json source_in(const std::string& path);
// load_data(options), which must be the images of the run with this config. Throws Error, naming
// `path`, if they are others.
DatasetPair images_of_run(const RunOptions& options, const nlohmann::ordered_json& config,
                          const std::string& path);

// Whether these epochs are all of the run: as many as its config asks for or, with "patience", so
// many that the last ones have not been better.
bool has_ended(const nlohmann::ordered_json& config, const MetricsTable& metrics);
// The first epoch with the least reconstruction loss on the evaluated images, 1, 2, ...
int64_t best_epoch(const MetricsTable& metrics);

// Whether the folder holds the run of this config from beginning to end. The model may be missing:
// a run made elsewhere can come without it, and only some tables need it.
bool is_finished(const std::string& folder, const nlohmann::ordered_json& config);

// A run whose config differs from another's only in the number of threads; it may have fewer
// epochs.
struct ThreadsTwin {
  std::string folder;
  int threads;
  int64_t epochs;
  bool finished;
};
// The twins of a config in a folder of runs, fewest threads first: those that have a checkpoint to
// go on from, and finished ones of all its epochs. Folders that cannot be read as runs are skipped.
std::vector<ThreadsTwin> threads_twins(const std::string& runs,
                                       const nlohmann::ordered_json& config);

// If this run has not begun but twins beside it have, a note for each that says how to continue it;
// else empty. The number of threads changes the last bits of oneDNN's sums, so a run never
// continues with another number of its own accord.
std::string note_on_threads(const std::string& folder, const nlohmann::ordered_json& config);

}  // namespace versor
