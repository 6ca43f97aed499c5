// The config of a run: what changes its results, in a fixed order. It stands in the config.json of
// the run's folder, and its hash is the key in the folder's name.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/run/run_options.h"

namespace versor {

// Which images, in which order: what a config says of them.
struct ImagesIdentity {
  std::string name;  // of the data set
  std::string hash;  // of all pixels and labels of both parts, 16 hex digits
  int64_t train = 0, test = 0;
};
ImagesIdentity identity_of(const DatasetPair& images);

// Of options that are resolved. Options that few runs use are there only where they are used.
nlohmann::ordered_json config_of(const RunOptions& options, const ImagesIdentity& images);
nlohmann::ordered_json config_of(const RunOptions& options, const DatasetPair& images);

// "published-rotation-k1024-d256-beta0.25-seed1-1a2b3c4d": readable, and 8 hex digits of the hash
// of the whole config.
std::string run_name(const nlohmann::ordered_json& config);

// The shell command that trains a run of these options, which are resolved (what is left open it
// leaves open): "bin/train --estimator ...", without --out.
std::string train_command(const RunOptions& options);

// A text in quotes for a shell, whatever is in it.
std::string shell_quoted(const std::string& text);

// What a folder's config has and another one asks for, option by option: "--beta 0.25, asked for
// 0.5, and --seed 1, asked for 2".
std::string differing_options(const nlohmann::ordered_json& held,
                              const nlohmann::ordered_json& asked);

// What makes a run smaller than the paper's or another one than it ("2560 of 50000 training
// images"); empty if it has the paper's size: all of CIFAR-10, D 256, K as given, batch 128,
// learning rate 2e-4, decay 0.99, so many epochs.
std::vector<std::string> differences_from_paper(const nlohmann::ordered_json& config, int64_t codes,
                                                int64_t epochs);

}  // namespace versor
