// The frame of an experiment: see experiment.h.
#include "experiments/study/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/cli/program.h"
#include "experiments/run/option_table.h"

namespace versor {
namespace {

std::vector<Run> distinct_runs(const Study& study) {
  std::vector<Run> all;
  std::set<std::string> seen;
  for (const Series& series : study.series())
    for (const Run& run : series.runs)
      if (seen.insert(run.folder).second) all.push_back(run);
  return all;
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

// Options that the command line sets to another value than one of the presets, so that the runs are
// no longer that preset's. Leaves out what differences_from_paper() reports.
std::vector<std::string> overridden(const ManyRunsOptions& options) {
  std::vector<std::string> all;
  for (const RunOption& option : run_option_table()) {
    const auto value = option.value(options.run);
    if (!option.take_preset || option.in_config != InConfig::always || value.is_null() ||
        option.name == "--lr" || option.name == "--decay")
      continue;
    const bool changed =
        std::any_of(options.presets.begin(), options.presets.end(), [&](const auto& preset) {
          RunOptions plain;
          plain.preset = parse_name<Preset>(preset);
          option.take_preset(plain);
          return option.value(plain) != value;
        });
    if (changed) all.push_back(fmt::format("{} {}", option.name, text_of(value)));
  }
  return all;
}

// Training and inspecting models need the device. Finished runs may come from a machine with
// another device, so a device that this machine lacks is an error only if a run is missing.
void prepare_device_of(const Study& study, const std::vector<Run>& all) {
  RunOptions options = study.options().run;
  try {
    prepare_device(options);
  } catch (const Error&) {
    const auto finished = [&](const Run& run) { return study.runs().finished(run); };
    if (!std::all_of(all.begin(), all.end(), finished)) throw;
  }
}

// The config of the study's runs with all preset decisions as in `published`: the differences from
// the paper that remain come from the command line and the program.
nlohmann::ordered_json as_published(const Study& study) {
  nlohmann::ordered_json config = *study.any_run().config;
  RunOptions published = study.options().run;
  published.preset = Preset::published;
  apply_preset(published);
  const auto reference = config_of(published, ImagesIdentity{});
  for (const RunOption& option : run_option_table()) {
    if (!option.take_preset) continue;
    if (reference.contains(option.key()))
      config[option.key()] = reference[option.key()];
    else
      config.erase(option.key());
  }
  return config;
}

// The config without the options in which the rows differ by design.
nlohmann::ordered_json without_own(nlohmann::ordered_json config, const Experiment& experiment) {
  for (const RunOption& option : run_option_table())
    if (experiment.own.contains(option.name) && option.name != "--codes")
      config.erase(option.key());
  return config;
}

// Notes like "preset best: learning rate 0.002 instead of 0.0002, warmup 500": how a preset itself
// differs from the paper, apart from its treatment of the codebook.
void note_recipes(const Study& study, const Experiment& experiment,
                  const std::vector<std::string>& known, int64_t codes, Section& section) {
  for (const std::string& preset : study.options().presets) {
    const Run* run = study.first_run(preset);
    if (run == nullptr) continue;
    auto differences = differences_from_paper(without_own(*run->config, experiment), codes,
                                              experiment.paper_epochs);
    std::erase_if(differences, [&](const std::string& difference) {
      return std::find(known.begin(), known.end(), difference) != known.end();
    });
    if (!differences.empty())
      section.notes.push_back("preset " + preset + ": " + joined(differences, ", "));
  }
}

// Notes how the section's runs compare with the paper's, and how they were made.
void describe(const Study& study, const Experiment& experiment, Section& section) {
  const auto config = without_own(as_published(study), experiment);
  const int64_t codes =
      experiment.paper_codes > 0 ? experiment.paper_codes : config["codes"].get<int64_t>();
  auto differences = differences_from_paper(config, codes, experiment.paper_epochs);
  const bool smaller = !differences.empty();
  for (const std::string& choice : overridden(study.options())) differences.push_back(choice);
  if (!differences.empty())
    section.scale = fmt::format("{}, nothing here is compared with the paper: {}",
                                smaller ? "Scaled down" : "Changed", joined(differences, ", "));
  note_recipes(study, experiment, differences, codes, section);
  int64_t ended_early = 0;
  for (const Run& run : distinct_runs(study)) {
    section.runs.push_back(record_of(run));
    if (static_cast<int64_t>(section.runs.back().seconds.size()) < run.options.epochs)
      ++ended_early;
  }
  std::set<std::string> commits, hardware;
  for (const RunRecord& run : section.runs) {
    commits.insert(run.commit);
    hardware.insert(
        fmt::format("{} in {}", run.hardware.empty() ? run.device : run.hardware, run.precision));
  }
  std::vector<std::string> seeds;
  for (uint64_t seed : study.options().seeds) seeds.push_back(std::to_string(seed));
  const auto number = [&](const char* key) {
    return config.contains(key) ? config[key].dump() : "as in the table";
  };
  section.notes.push_back(fmt::format(
      "{}: {} training and {} test images; D {}, batch {}, {}; seed{} {}",
      config["data"].get<std::string>(), number("train_images"), number("test_images"),
      number("latent"), number("batch_size"),
      config.contains("epochs") ? config["epochs"].dump() + " epochs" : "epochs as in the table",
      seeds.size() > 1 ? "s" : "", joined(seeds, ", ")));
  section.notes.push_back(fmt::format("{} runs on {}; commit {}", section.runs.size(),
                                      joined({hardware.begin(), hardware.end()}, ", "),
                                      joined({commits.begin(), commits.end()}, ", ")));
  if (study.options().run.validation_images > 0)
    section.notes.push_back(
        "\"test\" here means images held back from the training images, not the test images");
  if (ended_early > 0)
    section.notes.push_back(fmt::format(
        "{} of {} runs ended early, after --patience epochs without a better one; the figures are "
        "those of their last epochs",
        ended_early, section.runs.size()));
  for (const std::string& failure : study.failures())
    section.notes.push_back("failed, and not in any figure here: " + failure);
  if (commits.size() > 1)
    section.notes.push_back("warning: these runs were made by different commits");
}

void print(const Section& section) {
  fmt::print("\n{}\n", section.title);
  if (!section.scale.empty()) fmt::print("{}\n", section.scale);
  for (const std::string& note : section.notes) fmt::print("{}\n", note);
  for (const Table& table : section.tables) fmt::print("\n{}", table.terminal());
  for (const std::string& finding : section.findings) fmt::print("\n- {}", finding);
}

}  // namespace

const Run& Series::first() const {
  check(!runs.empty(), "experiment", "no run of \"", label, "\", preset ", preset,
        ", has come to its end");
  return runs.front();
}

Summary Series::at(const std::string& column, int64_t epoch, const std::string& file) const {
  std::vector<double> values;
  for (const Run& run : runs) {
    const auto rows = read_metrics(run.folder + "/" + file).column(column);
    check(epoch <= static_cast<int64_t>(rows.size()), "experiment", run.folder, "/", file,
          " has no epoch ", epoch);
    values.push_back(epoch > 0 ? rows[static_cast<size_t>(epoch - 1)] : rows.back());
  }
  return summarize(values);
}

std::vector<double> Series::curve(const std::string& column, const std::string& file) const {
  std::vector<double> mean;
  for (const Run& run : runs) {
    const auto rows = read_metrics(run.folder + "/" + file).column(column);
    // Runs that ended early have fewer epochs: the mean is over all runs as far as all go.
    mean.resize(&run == &runs.front() ? rows.size() : std::min(mean.size(), rows.size()));
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += rows[i] / static_cast<double>(runs.size());
  }
  return mean;
}

const Series& Study::find(const std::string& label, const std::string& preset) const {
  const auto it = std::find_if(series_.begin(), series_.end(), [&](const Series& s) {
    return s.label == label && s.preset == preset;
  });
  check(it != series_.end(), "experiment", "no runs \"", label, "\" of preset ", preset);
  return *it;
}

const Run* Study::first_run(const std::string& preset) const {
  for (const Series& series : series_)
    if (series.preset == preset && !series.runs.empty()) return &series.first();
  return nullptr;
}

const Run& Study::any_run() const {
  const auto it =
      std::find_if(series_.begin(), series_.end(), [](const Series& s) { return !s.runs.empty(); });
  check(it != series_.end(), "experiment", "there is no run");
  return it->first();
}

bool Study::complete() {
  for (const Run& run : distinct_runs(*this)) {
    try {
      if (!runs_.complete(run)) return false;
    } catch (const std::exception& e) {
      failures_.push_back(fmt::format("{}: {}", run.folder, e.what()));
      if (!options().quiet) fmt::print(stderr, "failed: {}\n", failures_.back());
      for (Series& series : series_)
        std::erase_if(series.runs, [&](const Run& r) { return r.folder == run.folder; });
    }
  }
  const bool some =
      std::any_of(series_.begin(), series_.end(), [](const Series& s) { return !s.runs.empty(); });
  check(some, "experiment", "all ", failures_.size(),
        " trainings failed; the first: ", failures_.empty() ? "" : failures_.front());
  return true;
}

void Study::add(const std::string& label, const std::string& preset,
                const std::function<void(RunOptions&)>& change, bool one_seed) {
  Series series{label, preset, {}};
  for (uint64_t seed : options().seeds) {
    RunOptions o = options().run;
    o.preset = parse_name<Preset>(preset);
    o.seed = seed;
    if (change) change(o);
    series.runs.push_back(runs_.describe(o));
    if (one_seed) break;
  }
  series_.push_back(std::move(series));
}

namespace {

// Trains what is missing and makes the section. Returns the exit code.
int make_section(Study& study, const Experiment& experiment) {
  const ManyRunsOptions& options = study.options();
  experiment.plan(study);
  const std::vector<Run> all = distinct_runs(study);
  if (options.list) {
    for (const Run& run : all)
      if (!study.runs().finished(run)) fmt::print("{}\n", study.runs().command(run));
    return 0;
  }
  prepare_device_of(study, all);
  if (!study.complete()) {
    fmt::print(stderr, "\ninterrupted; the same command goes on from there\n");
    return kInterrupted;
  }
  Section section;
  section.name = experiment.name;
  describe(study, experiment, section);
  experiment.fill_section(study, section);
  write_section(options.results, section);
  print(section);
  fmt::print("\nwritten: {0}/{1}.md, {1}.json and the tables as CSV\n", options.results,
             experiment.name);
  check(study.failures().empty(), experiment.name, study.failures().size(), " of ", all.size(),
        " trainings failed, see above; the same command tries them again");
  return 0;
}

}  // namespace

int run_experiment(int argc, char** argv, const Experiment& experiment) {
  Options app(experiment.summary);
  ManyRunsOptions options;
  options.presets = experiment.presets;
  add_many_runs_options(app, options, experiment.own);
  if (experiment.add_options) experiment.add_options(app);
  return run_parallel_program(app, argc, argv, [&](Communicator& ranks) {
    together(ranks, [&] {
      if (!experiment.own.contains("--quantizer")) refuse_ignored(options.run);
    });
    Study study(options, ranks);
    if (!ranks.is_root()) return study.runs().serve();
    int code = 0;
    const auto work = [&] { code = make_section(study, experiment); };
    if (ranks.is_alone()) return work(), code;
    const Failure failure = failure_of(work);  // rank 0's own, once the others wait for runs
    study.runs().dismiss(failure.code != 0 ? failure.code : code);
    if (failure.code != 0) throw SharedError(failure.what, failure.code);
    return code;
  });
}

}  // namespace versor
