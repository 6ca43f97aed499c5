// One table of all options of a training run. It defines an option once: its name, where it is
// stored, its range, its default in each preset, its place in a run's config, its help, and which
// quantizers use it. Help, parsing, presets, config.json, a run's name, the commands of --list and
// the refusals all follow from it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "experiments/cli/options.h"
#include "experiments/run/run_options.h"

namespace versor {

// Whether an option is part of a run's config, and so of the hash in its name.
enum class InConfig {
  always,
  where_unusual,  // only if it differs from the preset `versor`
  never,          // it changes no results, or the config records its effect in another way
};

struct RunOption {
  std::string name;   // "--dead-codes"
  std::string group;  // its heading in --help
  InConfig in_config = InConfig::always;
  // Adds it to a program; the parsed value goes into the given RunOptions.
  std::function<void(Options&, RunOptions&)> add;
  // Its value as in config.json; null as long as it is left to the preset.
  std::function<nlohmann::ordered_json(const RunOptions&)> value;
  // Takes the preset's value if none was given; empty for options that presets do not decide.
  std::function<void(RunOptions&)> take_preset;
  // The quantizers that use it (an empty list: all), and its value for the others.
  std::vector<QuantizerKind> used_by = {};
  nlohmann::ordered_json unused_value = {};
  std::function<void(RunOptions&)> set_unused = {};
  bool is_flag = false;  // its name alone stands for true
  bool is_list = false;  // its value is a list with commas
  bool of_step = false;  // it matters in a single training step: bin/one_step takes it

  std::string key() const;  // in config.json: "dead_codes"
  bool is_used_by(QuantizerKind kind) const;
};

const std::vector<RunOption>& run_option_table();

// Adds the options of a run to a program, except those that it sets itself ("--beta", ...).
void add_run_options(Options& app, RunOptions& options, const std::set<std::string>& without = {});
// Adds only the options of a single training step.
void add_step_options(Options& app, RunOptions& options);
// Adds one option by name, for programs that take only a few.
void add_run_option(Options& app, RunOptions& options, const std::string& name);

// Parses a number or "mean"; nothing if the text is neither.
std::optional<RotationOrigin> parse_origin(const std::string& text);

// The value as a word on a command line; true and false are 1 and 0.
std::string text_of(const nlohmann::ordered_json& value);

}  // namespace versor
