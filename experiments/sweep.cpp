// All combinations of some options' values, and a table of what comes out:
//   bin/sweep LR=1e-3,2e-3 BETA=0.25,1 --epochs 5
// The first words name options of a training in upper case; TRAIN, TEST and SEEDS are as for the
// make targets. One value is the same as the option itself. Values are separated by commas, those
// that are lists with commas by semicolons (LEVELS="8,5,5,5;8,8,8").
//   command  make sweep LR=1e-3,2e-3 BETA=0.25,1 SEEDS=1,2
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "experiments/run/option_table.h"
#include "experiments/study/experiment.h"
#include "experiments/study/paper.h"

using namespace versor;

namespace {

struct Varied {
  const RunOption* option;
  std::vector<std::string> values;
};

struct CommandLine {
  std::vector<std::string> arguments;  // without the words of the sweep
  std::vector<Varied> varied;
  std::string error;  // of those words
};

constexpr size_t kMostRuns = 10'000;

const std::pair<const char*, const char*> kShort[] = {{"TRAIN", "--train-images"},
                                                      {"TEST", "--test-images"},
                                                      {"SEEDS", "--seeds"},
                                                      {"SEED", "--seeds"}};

std::string upper(const RunOption& option) {
  std::string name = option.key();
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return std::toupper(c); });
  return name;
}

// Device and images are the same for all runs of a program.
bool is_common(const RunOption& option) {
  const std::set<std::string> of_machine = {"--device",     "--precision",        "--threads",
                                            "--max-memory", "--nondeterministic", "--preset"};
  return of_machine.contains(option.name) || (option.group == "Images" && !option.take_preset);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text + separator);  // an empty last part is a part
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::string words_for(const RunOption& option, const std::string& value) {
  if (!option.is_flag) return option.name + " " + shell_quoted(value);
  if (value != "0" && value != "1") throw UsageError(option.name, value + " is neither 0 nor 1");
  return value == "1" ? option.name : "";
}

void take(const std::string& name, const std::string& values, CommandLine& line) {
  std::vector<std::string> known;
  for (const auto& [word, option] : kShort) {
    known.emplace_back(word);
    if (name == word) return line.arguments.insert(line.arguments.end(), {option, values}), void();
  }
  for (const RunOption& option : run_option_table()) {
    known.push_back(upper(option));
    if (name != known.back()) continue;
    if (std::any_of(line.varied.begin(), line.varied.end(),
                    [&](const Varied& v) { return v.option == &option; }))
      throw UsageError(name, "is there twice");
    const auto parts = split(values, option.is_list ? ';' : ',');
    if (parts.size() > 1 && !is_common(option))
      line.varied.push_back({&option, parts});
    else if (!option.is_flag)
      line.arguments.insert(line.arguments.end(), {option.name, values});
    else if (const std::string flag = words_for(option, values); !flag.empty())
      line.arguments.push_back(flag);
    return;
  }
  throw UsageError(name, "there is no such option" + did_you_mean(name, known));
}

CommandLine read(int argc, char** argv) {
  CommandLine line{{argv[0]}, {}, ""};
  int at = 1;
  for (; at < argc && argv[at][0] != '-'; ++at) {
    const std::string word = argv[at];
    const size_t equals = word.find('=');
    try {
      if (equals == word.npos) throw UsageError(word, "is no NAME=VALUE,VALUE");
      take(word.substr(0, equals), word.substr(equals + 1), line);
    } catch (const UsageError& e) {
      if (line.error.empty()) line.error = e.what();
    }
  }
  line.arguments.insert(line.arguments.end(), argv + at, argv + argc);
  const auto gives_seeds = [](const std::string& argument) {
    return argument == "--seeds" || argument.starts_with("--seeds=");
  };
  const bool about_itself = argc == 2 && std::string(argv[1]).starts_with("--");
  if (!about_itself && std::ranges::none_of(line.arguments, gives_seeds))
    line.arguments.insert(line.arguments.end(), {"--seeds", "1"});
  return line;
}

// A row of the table: the words that set its options, and their values as the config has them.
struct Row {
  std::string words;
  std::vector<std::string> values;
};

std::vector<Row> all_combinations(const std::vector<Varied>& varied) {
  std::vector<Row> rows = {{}};
  for (const auto& [option, values] : varied) {
    std::vector<Row> longer;
    for (const Row& row : rows)
      for (const std::string& value : values) {
        Options app("");
        RunOptions o;
        option->add(app, o);
        const std::string words = words_for(*option, value);
        app.parse(words);
        longer.push_back({row.words + " " + words, row.values});
        longer.back().values.push_back(text_of(option->value(o)));
        if (longer.size() > kMostRuns)
          throw UsageError(option->name, fmt::format("more than {} combinations", kMostRuns));
      }
    rows = std::move(longer);
  }
  return rows;
}

void set(RunOptions& o, const std::string& words, const std::vector<Varied>& varied) {
  Options app("");
  for (const Varied& v : varied) v.option->add(app, o);
  app.parse(words);
  refuse_ignored(o);
}

constexpr MetricColumn kColumns[] = {{"Recon Loss", "train_recon_loss", 4},
                                     {"{} Recon", "test_recon_loss", 4},
                                     {"{} PSNR", "test_psnr", 2},
                                     {"{} Perplexity", "test_perplexity", 1},
                                     {"Codes used", "test_codes_used", 0}};

void fill_section(const Study& study, const CommandLine& line, const std::vector<Row>& rows,
                  Section& section) {
  const bool held_back = study.options().run.validation_images > 0;
  const char* evaluated = held_back ? "Validation" : "Test";
  section.title = "A sweep of options";
  if (!held_back)
    section.notes.push_back(
        "To choose among these rows, hold images back (VALIDATION_IMAGES=5000): "
        "what was chosen by the test images does not show what others will give.");
  Table table;
  table.file = section.name;
  table.title = "one row for each combination, mean ± deviation over the seeds";
  const bool presets = study.options().presets.size() > 1;
  if (presets) table.columns.push_back("preset");
  for (const Varied& v : line.varied) table.columns.push_back(v.option->key());
  for (const MetricColumn& c : kColumns)
    table.columns.push_back(fmt::format(fmt::runtime(c.title), evaluated));
  const Series* best = nullptr;
  for (size_t i = 0; i < study.series().size(); ++i) {
    const Series& series = study.series()[i];
    std::vector<std::string> cells;
    if (presets) cells.push_back(series.preset);
    const auto& values = rows[i % rows.size()].values;
    cells.insert(cells.end(), values.begin(), values.end());
    for (const MetricColumn& c : kColumns)
      cells.push_back(to_text(series.at(c.metric), c.decimals));
    table.rows.push_back(cells);
    const auto recon = [](const Series& s) { return s.at("test_recon_loss").mean; };
    if (!series.runs.empty() && (best == nullptr || recon(series) < recon(*best))) best = &series;
  }
  section.tables.push_back(table);
  if (best != nullptr && table.rows.size() > 1)
    section.findings.push_back(
        fmt::format("The least {} reconstruction loss of {} combinations, {:.4f}, is that "
                    "of {}.",
                    held_back ? "validation" : "test", table.rows.size(),
                    best->at("test_recon_loss").mean, best->label));
}

}  // namespace

int main(int argc, char** argv) {
  const CommandLine line = read(argc, argv);
  std::vector<Row> rows;
  Experiment e{.name = "sweep",
               .summary =
                   "All combinations of some options: LR=1e-3,2e-3 BETA=0.25,1 before the "
                   "options. Trains what is missing.",
               .presets = {"versor"}};
  for (const Varied& v : line.varied) e.own.insert(v.option->name);
  e.plan = [&](Study& study) {
    if (!line.error.empty()) throw UsageError(line.error);
    rows = all_combinations(line.varied);
    for (const std::string& preset : study.options().presets)
      for (const Row& row : rows) {
        std::string label = preset;
        for (size_t i = 0; i < row.values.size(); ++i)
          label += fmt::format(", {} {}", line.varied[i].option->key(), row.values[i]);
        study.add(label, preset, [&](RunOptions& o) { set(o, row.words, line.varied); });
      }
  };
  e.fill_section = [&](const Study& study, Section& section) {
    fill_section(study, line, rows, section);
  };
  std::vector<std::string> arguments = line.arguments;
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  return run_experiment(static_cast<int>(pointers.size()), pointers.data(), e);
}
