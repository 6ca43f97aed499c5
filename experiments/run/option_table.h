// One table of all options of a training run. An option stands there once: its name, where it is
// stored, its range, its default in each preset, its place in a run's config, its help, and which
// quantizers would ignore it. Help and parsing of every program, presets, config.json, a run's
// name, the commands of --list and the refusals come from it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/run/run_options.h"

namespace versor {

// Where an option is in the config of a run, and so in its name.
enum class InConfig {
  always,
  where_unusual,  // where it differs from the preset `versor`
  never,          // it changes no results, or something else there says what it led to
};

struct RunOption {
  std::string name;  // "--dead-codes"
  InConfig in_config = InConfig::always;
  // Adds it to a program; what is parsed goes into these options.
  std::function<void(Options&, RunOptions&)> add;
  // Its value as in config.json; null while it is left to the preset.
  std::function<nlohmann::ordered_json(const RunOptions&)> value;
  // Takes the preset's value where it has none of its own; empty: presets do not decide it.
  std::function<void(RunOptions&)> take_preset;
  // Quantizers that use it (none named: all do), and the value that all others have.
  std::vector<QuantizerKind> used_by = {};
  nlohmann::ordered_json unused_value = {};
  std::function<void(RunOptions&)> set_unused = {};
  bool is_flag = false;  // its name alone stands for true
  bool of_step = false;  // a single training step has it: bin/one_step takes it

  std::string key() const;  // in config.json: "dead_codes"
  bool is_used_by(QuantizerKind kind) const;
};

const std::vector<RunOption>& run_option_table();

// Adds the options of a run to a program, but for those that it sets itself ("--beta", ...).
void add_run_options(Options& app, RunOptions& options, const std::set<std::string>& without = {});
// Those of a single training step alone.
void add_step_options(Options& app, RunOptions& options);
// One by its name, for a program that has few of them.
void add_run_option(Options& app, RunOptions& options, const std::string& name);

// The value as a word of a command line; true and false as 1 and 0.
std::string text_of(const nlohmann::ordered_json& value);

}  // namespace versor
