// The trainer of networks: see network_trainer.h.
#include "experiments/generate/network_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "experiments/cli/json_file.h"
#include "experiments/cli/program.h"
#include "experiments/cli/version.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/clock.h"
#include "experiments/run/interrupt.h"
#include "experiments/run/model_file.h"
#include "experiments/run/option_table.h"
#include "experiments/run/progress_line.h"
#include "nn/adam.h"
#include "nn/clip.h"
#include "nn/weight_average.h"
#include "tensor/ops.h"

namespace versor {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kFormat = "versor-network", *kMetrics = "metrics.csv",
                     *kTiming = "timing.csv";
// As in run/trainer_files.cpp: short epochs do not spend their time on files.
constexpr double kSecondsBetweenEpochSaves = 10, kSecondsBetweenSaves = 120;
constexpr size_t kUnreadLosses = 64;  // on a GPU, before the host waits for them

// The independent streams of random numbers of a run.
enum Purpose : uint64_t { kOrder = 1, kSteps = 2 };

void write_network(const std::string& path, const Module& network, const Json& config,
                   int64_t trained_epochs) {
  SafetensorsFile file{state_dict(network), {}};
  for (const auto& [key, value] : config.items()) file.metadata[key] = text_of(value);
  file.metadata["format"] = kFormat;
  file.metadata["versor_version"] = version();
  file.metadata["config"] = config.dump();
  file.metadata["trained_epochs"] = str(trained_epochs);
  write_safetensors(path, file);
}

// How far a run has come.
struct Position {
  int64_t epoch = 0, batches = 0, examples = 0;  // finished epochs; of the next one so far
  double loss = 0;                               // sum over these examples
  std::string header;                            // of metrics.csv
  std::vector<std::string> rows;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Position, epoch, batches, examples, loss, header, rows)

class NetworkRun {
 public:
  NetworkRun(TrainingTask& task, const NetworkOptions& options, const Json& config,
             const std::string& folder, bool quiet)
      : task_(task),
        options_(options),
        config_(config),
        folder_(folder, config, backend_for(options.device).info().name),
        quiet_(quiet),
        examples_(task.examples()),
        batches_((examples_ + options.batch_size - 1) / options.batch_size),
        parameters_(task.network().flat_parameters()),
        adam_(parameters_, adam_params()),
        average_(parameters_, options.average),
        line_(folder) {
    check(examples_ > 0 && examples_ <= std::numeric_limits<int32_t>::max(), "train", "there are ",
          examples_, " examples to train on");
  }

  TrainingEnd run() {
    if (is_finished(folder_.path(), config_)) {
      load_network(task_.network(), folder_.path());
      return TrainingEnd::was_finished;
    }
    const InterruptGuard guard;
    restore();
    started_at_ = saved_at_ = Clock::now();
    first_step_ = steps_done();
    while (at_.epoch < options_.epochs) {
      train_epoch();
      if (at_.batches < batches_) {
        save();
        return TrainingEnd::interrupted;
      }
      finish_epoch();
    }
    forget_previous_checkpoint(folder_);
    average_.swap();
    task_.network().set_training(false);
    return TrainingEnd::finished;
  }

 private:
  AdamParams adam_params() const {
    const int64_t steps =
        std::min<int64_t>(options_.epochs * batches_, std::numeric_limits<int>::max());
    return {.lr = static_cast<float>(options_.lr),
            .weight_decay = static_cast<float>(options_.weight_decay),
            .warmup = static_cast<int>(std::min(options_.warmup, steps / 10)),
            .decay = static_cast<int>(steps)};
  }

  int64_t steps_done() const { return at_.epoch * batches_ + at_.batches; }

  // All state outside the network's parameters and buffers.
  NamedTensors others() {
    NamedTensors all = adam_state(task_.network(), adam_);
    const auto named = task_.network().named_parameters();
    for (size_t i = 0; i < named.size(); ++i)
      all.emplace_back("average." + named[i].first, parameters_.view(average_.values(), i));
    for (auto& [name, counter] : task_.counters()) all.emplace_back("counter." + name, counter);
    return all;
  }

  void save() {
    write_state(folder_, config_, task_.network(), others(), nlohmann::json(at_).dump());
    saved_at_ = Clock::now();
  }

  void restore() {
    const auto text = restore_state(folder_, config_, task_.network(), others());
    if (!text) return;
    const std::string path = folder_.file("trainer.safetensors");
    try {
      at_ = parse_json<nlohmann::json>(*text, path).get<Position>();
    } catch (const nlohmann::json::exception& e) {
      fail("run", path, ": its position is malformed (", e.what(), ")");
    }
    check(0 <= at_.epoch && at_.epoch <= options_.epochs && 0 <= at_.batches &&
              at_.batches < batches_ && at_.rows.size() == static_cast<size_t>(at_.epoch),
          "run", path, ": its position lies outside the run");
    // A run that was killed at its end may lack the row that marks it as finished.
    if (at_.epoch > 0) folder_.write_csv(kMetrics, at_.header, at_.rows);
    timings_ = folder_.csv_rows(kTiming, at_.epoch);
    if (!quiet_)
      line_.keep({fmt::format("resuming after {} epochs and {} batches", at_.epoch, at_.batches)});
  }

  void train_epoch() {
    task_.network().set_training(true);
    epoch_started_at_ = Clock::now();
    while (at_.batches < batches_ && !InterruptGuard::interrupted()) {
      step();
      const bool line_due = !quiet_ && line_.due(seconds_since(started_at_) + seconds_left()),
                 save_due = seconds_since(saved_at_) > kSecondsBetweenSaves;
      const bool at_once = options_.device.type == DeviceType::cpu;
      if (at_once || line_due || save_due || unread_.size() == kUnreadLosses) read_losses();
      if (line_due) show_progress();
      if (save_due && at_.batches < batches_) save();
    }
    read_losses();
  }

  void step() {
    const Rng order = Rng(options_.seed).split(kOrder).split(static_cast<uint64_t>(at_.epoch));
    std::vector<int32_t> batch;
    const int64_t first = at_.batches * options_.batch_size,
                  end = std::min(first + options_.batch_size, examples_);
    for (int64_t i = first; i < end; ++i)
      batch.push_back(static_cast<int32_t>(
          order.permute(static_cast<uint32_t>(i), static_cast<uint32_t>(examples_))));
    const auto number = static_cast<uint64_t>(steps_done());
    Variable loss = task_.loss(batch, Rng(options_.seed).split(kSteps).split(number));
    backward(loss);
    if (options_.clip > 0) clip_gradient_norm(parameters_, static_cast<float>(options_.clip));
    adam_.step();
    adam_.zero_grad();
    average_.update(steps_done());
    unread_.emplace_back(loss.value(), end - first);
    ++at_.batches;
  }

  // Throws Error at the first loss that is NaN or infinite.
  void read_losses() {
    int64_t batch = at_.batches - static_cast<int64_t>(unread_.size());
    for (const auto& [loss, count] : unread_) {
      const double value = loss.to_vector<float>()[0];
      ++batch;
      check(std::isfinite(value), "train", "the loss is not finite in step ", batch, " of epoch ",
            at_.epoch + 1, "; ", folder_.path(), " is left as it was saved before");
      at_.loss += value * static_cast<double>(count);
      at_.examples += count;
    }
    unread_.clear();
  }

  void finish_epoch() {
    const double train_seconds = seconds_since(epoch_started_at_);
    const auto measuring_since = Clock::now();
    const int64_t epoch = at_.epoch + 1;
    std::vector<std::pair<std::string, double>> measured = {
        {"train_loss", at_.loss / static_cast<double>(at_.examples)}};
    average_.swap();
    task_.network().set_training(false);
    {
      const NoGradGuard no_grad;
      for (auto& entry : task_.measure()) measured.push_back(std::move(entry));
    }
    Position next{epoch, 0, 0, 0, "epoch", std::move(at_.rows)};
    next.rows.push_back(str(epoch));
    std::vector<std::string> shown = {fmt::format("epoch {}/{}", epoch, options_.epochs)};
    for (const auto& [name, value] : measured) {
      check(std::isfinite(value), "train", name, " is not finite after epoch ", epoch);
      next.header += "," + name;
      next.rows.back() += fmt::format(",{:.8g}", value);
      shown.push_back(fmt::format("{} {:.4g}", name, value));
    }
    at_ = std::move(next);
    timings_.push_back(
        fmt::format("{},{:.3f},{:.3f}", epoch, train_seconds, seconds_since(measuring_since)));
    shown.push_back(fmt::format("{:.0f} s", train_seconds));
    write_epoch();
    if (!quiet_) line_.keep(shown);
  }

  // With the averaged weights in the network. The row that marks the run as finished comes last.
  void write_epoch() {
    const auto is_at = [&](int64_t part) {
      return at_.epoch == std::max<int64_t>(1, options_.epochs / part);
    };
    if (options_.snapshots && (is_at(16) || is_at(8) || is_at(4) || is_at(2) || is_at(1))) {
      std::filesystem::create_directories(folder_.file("snapshots"));
      write_network(folder_.file(fmt::format("snapshots/{}.safetensors", at_.epoch)),
                    task_.network(), config_, at_.epoch);
    }
    const bool saves =
        at_.epoch == options_.epochs || seconds_since(saved_at_) > kSecondsBetweenEpochSaves;
    if (saves)
      write_network(folder_.file("model.safetensors"), task_.network(), config_, at_.epoch);
    average_.swap();
    if (saves) save();
    folder_.write_csv(kTiming, "epoch,train_seconds,measure_seconds", timings_);
    folder_.write_csv(kMetrics, at_.header, at_.rows);
  }

  double seconds_left() const {
    const auto done = static_cast<double>(steps_done() - first_step_);
    return seconds_since(started_at_) / done *
           static_cast<double>(options_.epochs * batches_ - steps_done());
  }

  void show_progress() {
    const double left = seconds_left();
    line_.show(
        {fmt::format("epoch {}/{} [{}/{}]", at_.epoch + 1, options_.epochs, at_.batches, batches_),
         fmt::format("loss {:.4f}", at_.loss / static_cast<double>(at_.examples)),
         fmt::format("{:.0f}:{:02.0f} left", std::floor(left / 60),
                     std::floor(std::fmod(left, 60)))});
  }

  TrainingTask& task_;
  NetworkOptions options_;
  Json config_;
  RunFolder folder_;
  bool quiet_;
  int64_t examples_, batches_;
  FlatParameters& parameters_;
  Adam adam_;
  WeightAverage average_;
  ProgressLine line_;
  Position at_;
  std::vector<std::string> timings_;
  std::vector<std::pair<Tensor, int64_t>> unread_;  // losses of steps, and their examples
  int64_t first_step_ = 0;
  Clock::time_point started_at_, saved_at_, epoch_started_at_;
};

}  // namespace

void add_network_options(Options& app, NetworkOptions& o) {
  const auto add = [&](const char* name, auto& value, const Check& check, const char* help = "") {
    app.add_option(name, value, help)->check(check)->capture_default_str();
  };
  const Check count = in_range(1, int64_t{1} << 30);
  add("--epochs", o.epochs, count);
  add("--batch-size", o.batch_size, count);
  add("--lr", o.lr, kNotNegative, "AdamW's learning rate, which falls to 0 by half a cosine");
  add("--warmup", o.warmup, in_range(0, int64_t{1} << 30),
      "steps in which the learning rate rises from 0, at most a tenth of all");
  add("--weight-decay", o.weight_decay, kNotNegative);
  add("--clip", o.clip, kNotNegative, "largest global norm of the gradients; 0: none");
  add("--average", o.average, number_in(0, 0.999999, "0..0.999999"),
      "decay of the average of the weights, which is what is used; 0: the weights themselves");
  add("--seed", o.seed, kSeedNumber);
  app.add_flag("--snapshots", o.snapshots,
               "keep the network after 1/16, 1/8, 1/4 and 1/2 of the epochs, and all");
}

Json config_of(const NetworkOptions& o) {
  return {{"epochs", o.epochs},
          {"batch_size", o.batch_size},
          {"lr", o.lr},
          {"warmup", o.warmup},
          {"weight_decay", o.weight_decay},
          {"clip", o.clip},
          {"average", o.average},
          {"seed", o.seed},
          {"device", str(o.device)},
          {"threads", o.threads},
          {"lr_schedule_epochs", o.epochs}};  // see config_of in run_config.cpp
}

std::string folder_beside(const LoadedModel& model, const char* task, uint64_t seed) {
  const auto folder = std::filesystem::path(model.path).parent_path();
  return (folder / fmt::format("{}-seed{}", task, seed)).string();
}

TrainingEnd train_network(TrainingTask& task, const NetworkOptions& options, const Json& config,
                          const std::string& folder, bool quiet) {
  return NetworkRun(task, options, config, folder, quiet).run();
}

int report_training(TrainingEnd end, const std::string& folder) {
  if (end == TrainingEnd::interrupted) {
    fmt::print(stderr, "\ninterrupted; saved in {}, the same command goes on from there\n", folder);
    return kInterrupted;
  }
  const MetricsTable metrics = read_metrics(folder + "/metrics.csv");
  fmt::print("{} after {} epochs:", end == TrainingEnd::finished ? "finished" : "finished before,",
             metrics.rows.size());
  for (size_t i = 1; i < metrics.columns.size(); ++i)
    fmt::print(" {} {:.4f}", metrics.columns[i], metrics.rows.back()[i]);
  fmt::print("\n");
  return 0;
}

Json network_config(const std::string& path) {
  const std::string file = weights_in(path);
  const SafetensorsFile read = read_safetensors(file);
  const auto format = read.metadata.find("format"), config = read.metadata.find("config");
  check(format != read.metadata.end() && format->second == kFormat && config != read.metadata.end(),
        "run", file, " is not of a prior, a classifier or a diffusion");
  const Json parsed = Json::parse(config->second, nullptr, /*allow_exceptions=*/false);
  check(parsed.is_object(), "run", file, ": the config in its metadata is malformed");
  return parsed;
}

int64_t trained_epochs(const std::string& path) {
  const std::string file = weights_in(path);
  const SafetensorsFile read = read_safetensors(file);
  const auto epochs = read.metadata.find("trained_epochs");
  check(epochs != read.metadata.end(), "run", file, " does not say how long it was trained");
  return std::atoll(epochs->second.c_str());
}

void load_network(Module& network, const std::string& path) {
  const std::string file = weights_in(path);
  load_state_dict(network, read_safetensors(file), file);
  network.set_training(false);
}

}  // namespace versor
