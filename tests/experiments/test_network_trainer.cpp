// The trainer of networks: a run that is interrupted, killed or damaged ends as an undisturbed one.
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "experiments/generate/network_trainer.h"
#include "nn/normalization.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// A linear layer behind batch statistics and dropout: parameters, buffers and a counter.
class TinyNetwork final : public Module {
 public:
  TinyNetwork() {
    register_module("norm", norm);
    register_module("linear", linear);
  }
  Variable operator()(const Variable& x) const {
    return flatten(linear(flatten(dropout(norm(x)))));
  }

  BatchNorm2d norm{3, {}};
  Dropout dropout{0.2f, Rng(5), {}};
  Linear linear{3, 2, Rng(6), {}};
};

// Classifies points by the sign of their first coordinate, which noise moves.
class TinyTask final : public TrainingTask {
 public:
  static constexpr int64_t kExamples = 10;

  Module& network() override { return net; }
  int64_t examples() const override { return kExamples; }
  Variable loss(const std::vector<int32_t>& examples, Rng rng) override {
    ++losses;
    seen.push_back(examples);
    if (before_loss) before_loss(losses);
    const Tensor noise = ops::normal({static_cast<int64_t>(examples.size()), 1, 1, 3}, rng);
    const Tensor x = ops::add(ops::scaled(noise, 0.1f), points(examples));
    std::vector<int32_t> labels;
    for (int32_t i : examples) labels.push_back(i % 2);
    const Variable mean =
        cross_entropy(net(Variable(x)), Tensor::from(labels, {std::ssize(labels)}));
    return scale(mean, factor);
  }
  std::vector<std::pair<std::string, double>> measure() override {
    ++measured;
    CHECK(!net.training());
    if (before_measure) before_measure(measured);
    std::vector<int32_t> all;
    for (int32_t i = 0; i < kExamples; ++i) all.push_back(i);
    const Tensor logits = net(Variable(points(all))).value();
    return {{"first_logit", logits.to_vector<float>()[0]}};
  }
  std::vector<std::pair<std::string, Tensor>> counters() override {
    return {{"dropout", net.dropout.counter()}};
  }

  TinyNetwork net;
  int losses = 0, measured = 0;
  float factor = 1;
  std::vector<std::vector<int32_t>> seen;
  std::function<void(int)> before_loss, before_measure;

 private:
  static Tensor points(const std::vector<int32_t>& examples) {
    std::vector<float> values;
    for (int32_t i : examples)
      for (int32_t c = 0; c < 3; ++c)
        values.push_back(c == 0 ? (i % 2 == 0 ? -1.f : 1.f) : static_cast<float>(i + c) / 10);
    return Tensor::from(values, {std::ssize(examples), 1, 1, 3});
  }
};

NetworkOptions tiny_options() {
  NetworkOptions options;
  options.epochs = 4;
  options.batch_size = 4;  // three steps, the last of two examples
  options.lr = 0.05;
  options.warmup = 2;
  options.average = 0.9;
  options.threads = 1;
  return options;
}

nlohmann::ordered_json tiny_config(const NetworkOptions& options = tiny_options()) {
  nlohmann::ordered_json config = {{"task", "tiny"}};
  config.update(config_of(options));
  return config;
}

TrainingEnd train_tiny(TinyTask& task, const std::string& folder,
                       const NetworkOptions& options = tiny_options()) {
  return train_network(task, options, tiny_config(options), folder, /*quiet=*/true);
}

struct Killed {};

// Metrics and model of a run, which must be the undisturbed one's.
void check_same_run(const std::string& folder, const std::string& undisturbed) {
  for (const char* name : {"/metrics.csv", "/model.safetensors"}) {
    CAPTURE(name);
    CHECK((read_file(folder + name) == read_file(undisturbed + name)));
  }
  CHECK(!std::filesystem::exists(folder + "/trainer.previous.safetensors"));
}

TEST_SUITE_BEGIN(cpu_only());

}  // namespace

TEST_CASE("network trainer: a run, its files, and a finished one is not trained again") {
  const TemporaryFolder temporary;
  TinyTask task;
  CHECK((train_tiny(task, temporary / "run") == TrainingEnd::finished));
  CHECK(task.losses == 12);
  CHECK(task.measured == 4);
  // Each epoch has every example once, in an order of its own.
  for (size_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int32_t> all;
    for (size_t b = 3 * epoch; b < 3 * epoch + 3; ++b)
      all.insert(all.end(), task.seen[b].begin(), task.seen[b].end());
    CHECK(task.seen[3 * epoch + 2].size() == 2);
    std::sort(all.begin(), all.end());
    for (int32_t i = 0; i < 10; ++i) CHECK(all[static_cast<size_t>(i)] == i);
  }
  CHECK(task.seen[0] != task.seen[3]);
  const std::string metrics = read_file(temporary / "run/metrics.csv");
  CHECK(metrics.starts_with("epoch,train_loss,first_logit\n1,"));
  CHECK(std::count(metrics.begin(), metrics.end(), '\n') == 5);
  CHECK(network_config(temporary / "run") == tiny_config());
  CHECK(network_config(temporary / "run/model.safetensors") == tiny_config());

  // The file has the averaged weights, which the network now has, too.
  TinyTask again;
  load_network(again.net, temporary / "run");
  CHECK(!again.net.training());
  CHECK((state_dict(again.net).at("linear.weight").to_vector<float>() ==
         state_dict(task.net).at("linear.weight").to_vector<float>()));
  TinyTask finished;
  CHECK((train_tiny(finished, temporary / "run") == TrainingEnd::was_finished));
  CHECK(finished.losses == 0);
  CHECK(finished.measured == 0);
  CHECK((state_dict(finished.net).at("linear.weight").to_vector<float>() ==
         state_dict(task.net).at("linear.weight").to_vector<float>()));
}

TEST_CASE("network trainer: disturbed runs end with the bytes of an undisturbed one") {
  const TemporaryFolder temporary;
  const std::string undisturbed = temporary / "undisturbed", run = temporary / "run";
  TinyTask task;
  train_tiny(task, undisturbed);

  // Ctrl-C before step 5, the second of the second epoch, then killed before step 8, then killed in
  // the last measurement.
  TinyTask interrupted;
  interrupted.before_loss = [](int step) {
    if (step == 5) std::raise(SIGINT);
  };
  CHECK((train_tiny(interrupted, run) == TrainingEnd::interrupted));
  CHECK(interrupted.losses == 5);
  TinyTask killed;
  killed.before_loss = [](int step) {
    if (step == 3) throw Killed();
  };
  CHECK_THROWS_AS(train_tiny(killed, run), Killed);
  TinyTask at_end;
  at_end.before_measure = [](int measured) {
    if (measured == 3) throw Killed();
  };
  CHECK_THROWS_AS(train_tiny(at_end, run), Killed);
  TinyTask rest;
  CHECK((train_tiny(rest, run) == TrainingEnd::finished));
  CHECK(rest.losses == 7);  // of 12; the first five are in the checkpoint of the interruption
  check_same_run(run, undisturbed);

  // Killed between the last checkpoint and the row that marks the run as finished.
  std::string metrics = read_file(run + "/metrics.csv");
  write_file(run + "/metrics.csv", metrics.substr(0, metrics.rfind('\n', metrics.size() - 2) + 1));
  TinyTask last;
  CHECK((train_tiny(last, run) == TrainingEnd::finished));
  CHECK(last.losses == 0);
  check_same_run(run, undisturbed);
  CHECK((state_dict(last.net).at("linear.weight").to_vector<float>() ==
         state_dict(task.net).at("linear.weight").to_vector<float>()));
}

TEST_CASE("network trainer: another run in the folder, and more epochs are another run") {
  const TemporaryFolder temporary;
  const std::string run = temporary / "run";
  TinyTask task;
  train_tiny(task, run);
  NetworkOptions other = tiny_options();
  other.clip = 2;
  TinyTask refused;
  CHECK(error_of([&] { train_tiny(refused, run, other); }) ==
        "[run] the folder " + run +
            " holds a run with clip 1.0, asked for 2.0; choose another --out");
  NetworkOptions longer = tiny_options();
  longer.epochs = 5;
  CHECK(contains(error_of([&] { train_tiny(refused, run, longer); }), "--epochs 4, asked for 5"));
  // Nor is its checkpoint the beginning of a longer run.
  std::filesystem::create_directory(temporary / "longer");
  std::filesystem::copy(run + "/trainer.safetensors", temporary / "longer/trainer.safetensors");
  CHECK(contains(error_of([&] { train_tiny(refused, temporary / "longer", longer); }),
                 "is the checkpoint of a run with"));
  CHECK(refused.losses == 0);
}

TEST_CASE("network trainer: a loss that is not finite stops with one line that names the step") {
  const TemporaryFolder temporary;
  TinyTask task;
  task.before_loss = [&](int step) {
    if (step == 5) task.factor = std::numeric_limits<float>::quiet_NaN();
  };
  CHECK(error_of([&] { train_tiny(task, temporary / "run"); }) ==
        "[train] the loss is not finite in step 2 of epoch 2; " + (temporary / "run") +
            " is left as it was saved before");
}

TEST_CASE("network trainer: snapshots, without an average they are the weights themselves") {
  const TemporaryFolder temporary;
  NetworkOptions options = tiny_options();
  options.snapshots = true;
  options.average = 0;
  TinyTask task;
  std::vector<std::vector<float>> weights;
  task.before_measure = [&](int) {
    weights.push_back(state_dict(task.net).at("linear.weight").to_vector<float>());
  };
  train_tiny(task, temporary / "run", options);
  for (int epoch : {1, 2, 4}) {
    TinyTask snapshot;
    load_network(snapshot.net,
                 temporary / ("run/snapshots/" + std::to_string(epoch) + ".safetensors"));
    CHECK((state_dict(snapshot.net).at("linear.weight").to_vector<float>() ==
           weights[static_cast<size_t>(epoch - 1)]));
  }
  CHECK(!std::filesystem::exists(temporary / "run/snapshots/3.safetensors"));
}

TEST_CASE("network trainer: files that are none of its own are refused by name") {
  const TemporaryFolder temporary;
  const std::string file = temporary / "model.safetensors";
  SafetensorsFile foreign{{{"weight", ops::zeros({2})}}, {}};
  write_safetensors(file, foreign);
  CHECK(error_of([&] { network_config(file); }) ==
        "[run] " + file + " is not of a prior, a classifier or a diffusion");
  foreign.metadata = {{"format", "versor-network"}, {"config", "[1"}};
  write_safetensors(file, foreign);
  CHECK(error_of([&] { network_config(file); }) ==
        "[run] " + file + ": the config in its metadata is malformed");
  TinyTask task;
  CHECK(contains(error_of([&] { load_network(task.net, file); }), file));
}

TEST_SUITE_END();

}  // namespace versor::testing
