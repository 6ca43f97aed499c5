// The config of a run: everything that affects its results, in a fixed order. It is written to
// config.json in the run's folder, and its hash identifies the run in the folder's name.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/run/run_options.h"

namespace versor {

// What a config records of the images and their order.
struct ImagesIdentity {
  std::string name;  // of the data set
  std::string hash;  // of all pixels and labels of both sets, 16 hex digits
  int64_t train = 0, test = 0;
  int64_t height = 32, width = 32, channels = 3;  // in the config if one of them is another
};
ImagesIdentity identity_of(const DatasetPair& images);

// The config of resolved options. Rarely used options appear only if they are used.
nlohmann::ordered_json config_of(const RunOptions& options, const ImagesIdentity& images);
nlohmann::ordered_json config_of(const RunOptions& options, const DatasetPair& images);

// The options of a config, images included as far as it names them: all but where they came from
// (take_source). What it leaves out has its usual value. Throws Error, naming `path`, if the config
// is malformed.
RunOptions options_of(const nlohmann::ordered_json& config, const std::string& path);

// Where the images came from and how they were brought into form: the options that a config has no
// place for, since they change no results by themselves. Folders are absolute.
nlohmann::ordered_json source_of(const RunOptions& options);
// The reverse. A folder of files that is no longer there is left to its default, and what `source`
// lacks stays as it is. Throws Error, naming `path`, if it is malformed.
void take_source(RunOptions& options, const nlohmann::ordered_json& source,
                 const std::string& path);

// "published-rotation-k1024-d256-beta0.25-seed1-1a2b3c4d": readable, and 8 hex digits of the hash
// of the whole config.
std::string run_name(const nlohmann::ordered_json& config);

// How messages name an entry of a config, "--beta" or "images:", and its value as text, which is
// the usual one where the config leaves it out.
std::string title_of(const std::string& key);
std::string value_in(const nlohmann::ordered_json& config, const std::string& key);

// The config of the run that ends after the first `epochs` epochs of this one. (With a schedule of
// the learning rate there is none; lr_schedule_epochs then differs from every run's.) Throws Error,
// naming `path`, if the config is malformed.
nlohmann::ordered_json beginning_of(nlohmann::ordered_json config, int64_t epochs,
                                    const std::string& path);

// The shell command that trains a run of these options, "bin/train --estimator ...", without --out.
// It leaves out options that are still undecided, so give it resolved ones.
std::string train_command(const RunOptions& options);

// Quotes any text for a shell.
std::string shell_quoted(const std::string& text);

// The differences between the config in a folder and the one asked for, or between two others,
// option by option: "--beta 0.25, asked for 0.5, and --seed 1, asked for 2".
std::string differing_options(const nlohmann::ordered_json& held,
                              const nlohmann::ordered_json& asked,
                              const std::string& between = ", asked for ");

// In what a run differs from the paper's ("2560 of 50000 training images"). Empty if it has the
// paper's size: all of CIFAR-10, D 256, batch 128, learning rate 2e-4, decay 0.99, and the given K
// and number of epochs. What the config leaves out does not count.
std::vector<std::string> differences_from_paper(const nlohmann::ordered_json& config, int64_t codes,
                                                int64_t epochs);

}  // namespace versor
