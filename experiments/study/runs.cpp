// Many runs: see runs.h.
#include "experiments/study/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/cli/json_file.h"
#include "experiments/cli/ranks.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_folder.h"

namespace versor {
namespace {

// Applies --quick: the whole paper in minutes on two cores. Options given on the command line keep
// their values.
void shrink(const Options& app, ManyRunsOptions& o) {
  const auto set = [&](const char* name, auto& option, auto value) {
    if (!app.given(name)) option = value;
  };
  RunOptions& run = o.run;
  set("--latent", run.latent, 32);
  if (run.quantizer != QuantizerKind::fsq) set("--codes", run.codes, 128);
  set("--lr", run.lr, 1e-3);
  set("--epochs", run.epochs, 3);
  set("--train-images", run.train_images, 1600);
  set("--batch-size", run.batch_size, std::min<int64_t>(32, run.train_images));
  const int64_t evaluated = run.validation_images > 0 ? run.validation_images : 320;
  set("--test-images", run.test_images, std::min<int64_t>(320, evaluated));
  set("--seeds", o.seeds, std::vector<uint64_t>{1});
}

// What rank 0 sends to the others: the options of a run to train, or this alone.
constexpr const char* kExitCode = "exit code";

// The options of a run for options_of: also those that no config has.
std::string message_of(const RunOptions& o) {
  auto all = nlohmann::ordered_json::object();
  for (const RunOption& option : run_option_table())
    if (const auto value = option.value(o); value != option.value(RunOptions()))
      all[option.key()] = value;
  return all.dump();
}

}  // namespace

void add_many_runs_options(Options& app, ManyRunsOptions& o, std::set<std::string> without) {
  without.insert({"--preset", "--seed"});
  add_run_options(app, o.run, without);
  app.add_option("--preset", o.presets, "one, or several with commas")
      ->delimiter(',')
      ->check(one_of(names_of<Preset>()))
      ->capture_default_str();
  app.add_option("--seeds", o.seeds, "one run per seed; separated by commas")
      ->delimiter(',')
      ->check(kSeedNumber);
  app.add_option("--results", o.results, "folder for runs and tables")->capture_default_str();
  app.add_flag("--list", o.list, "print a command for every run that is missing, and stop");
  app.add_flag("--quick", o.quick, "a miniature: small D, K and data, few epochs, one seed");
  app.add_flag("--quiet", o.quiet, "no progress");
  app.parse_complete_callback([&app, &o] {
    if (o.quick) shrink(app, o);
  });
}

Runs::Runs(const ManyRunsOptions& options, Communicator& ranks) : ranks_(ranks), options_(options) {
  together(ranks, [&] {
    if (options_.seeds.empty()) throw UsageError("--seeds", "at least one is needed");
    for (uint64_t seed : options_.seeds)
      if (std::ranges::count(options_.seeds, seed) > 1)
        throw UsageError("--seeds", fmt::format("{} is there twice", seed));
    resolve_machine(options_.run, ranks);
    images_ = load_data(options_.run);
    fit_to_images(options_.run, images_);
    identity_ = identity_of(images_);
  });
}

Run Runs::describe(RunOptions options) const {
  apply_preset(options);
  auto config = config_of(options, identity_);
  const auto run_of = [&] {
    return Run{options, std::make_shared<nlohmann::ordered_json>(config),
               options_.results + "/runs/" + run_name(config)};
  };
  const Run wanted = run_of();
  if (finished(wanted)) return wanted;
  for (const ThreadsTwin& twin : threads_twins(options_.results + "/runs", config)) {
    config["threads"] = options.threads = twin.threads;
    if (const Run other = run_of(); finished(other)) return other;
  }
  return wanted;
}

bool Runs::finished(const Run& run) const {
  return is_finished(run.folder, *run.config);
}

bool Runs::complete(const Run& run) const {
  if (finished(run)) return true;
  fmt::print(stderr, "{}", note_on_threads(run.folder, *run.config));
  if (!options_.quiet) fmt::print(stderr, "{}\n", run.folder);
  ranks_.broadcast(message_of(run.options), 0);
  return train(run) != TrainingEnd::interrupted;
}

TrainingEnd Runs::train(const Run& run) const {
  TrainingEnd end{};
  const auto work = [&] {
    end = Trainer(run.options, images_,
                  {.folder = run.folder, .quiet = options_.quiet, .ranks = &ranks_})
              .run();
  };
  if (ranks_.is_alone()) return work(), end;
  const Failure failure = failure_of(work);
  if (failure.shared) throw SharedError(failure.what, failure.code);
  if (failure.code != 0) fail_alone(ranks_, failure);
  return end;
}

int Runs::serve() const {
  for (;;) {
    const auto message = nlohmann::ordered_json::parse(ranks_.broadcast("", 0));
    if (message.contains(kExitCode)) return message[kExitCode];
    RunOptions options = options_of(message, "rank 0");
    options.rank_threads = options_.run.rank_threads;
    try {
      train({options, nullptr, ""});
    } catch (const SharedError&) {  // rank 0 reports it and goes on to the next
    }
  }
}

void Runs::dismiss(int exit_code) const {
  ranks_.broadcast(nlohmann::json{{kExitCode, exit_code}}.dump(), 0);
}

std::string Runs::command(const Run& run) const {
  return train_command(run.options) + (options_.quiet ? " --quiet" : "") + " --out " +
         shell_quoted(run.folder);
}

int64_t images_pictured(const nlohmann::ordered_json& config) {
  constexpr int64_t kPictures = 16;  // run/trainer.cpp
  return std::min(
      {kPictures, config.at("test_images").get<int64_t>(), config.at("batch_size").get<int64_t>()});
}

RunRecord record_of(const Run& run) {
  RunRecord record;
  record.folder = run.folder.substr(run.folder.rfind('/') + 1);
  const std::string path = run.folder + "/config.json";
  try {
    record.precision = run.config->at("precision").get<std::string>();
    record.device = run.config->at("device").get<std::string>();
    const auto config = read_json<nlohmann::json>(path);
    record.commit = config.at("commit").get<std::string>();
    record.hardware = config.value("hardware", "");
    const auto ranks = config.value("ranks", std::vector<int>{1});
    if (ranks != std::vector<int>{1})
      record.hardware += fmt::format(" on {} ranks", fmt::join(ranks, " and "));
    if (config.contains("continues")) {
      record.continues = config["continues"].at("run").get<std::string>();
      record.continues_epochs = count_in(config["continues"].at("epochs"), path);
    }
  } catch (const nlohmann::json::exception& e) {
    fail("run", path, " is malformed: ", e.what());
  }
  const MetricsTable timing = read_growing_metrics(run.folder + "/timing.csv");
  if (timing.rows.empty()) return record;
  const auto train = timing.column("train_seconds"), eval = timing.column("eval_seconds");
  for (size_t i = 0; i < train.size(); ++i) record.seconds.push_back(train[i] + eval[i]);
  return record;
}

}  // namespace versor
