// Trains a prior over the symbols of a trained model (experiments/generate/prior.h), and says what
// it makes of their cost in bits.
//   bin/prior results/runs/NAME     into results/runs/NAME/prior-seed1
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "experiments/cli/program.h"
#include "experiments/generate/context_mixture.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/generate/pixel_cnn.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/ops.h"

using namespace versor;

namespace {

constexpr float kWithoutClass = 0.1f;  // of the training images, so that symbols alone have a prior
constexpr int64_t kMeasured = 2000;    // test images after an epoch
constexpr int64_t kCounted = 1 << 23;  // symbols of which contexts are counted, at most: 2 GB

struct Asked {
  std::string model, out, kind = "transformer";
  PriorOptions prior;
  bool classes = true, mirror = true, quiet = false;
  NetworkOptions network;
};

struct Symbols {
  Tensor sequences;             // i32 [N,T]
  std::vector<int32_t> labels;  // N
};

// The symbols of a set and, if asked for, of the mirrored images, which follow.
Symbols symbols_of(const LoadedModel& loaded, const SymbolSequence& sequence, const Dataset& set,
                   bool mirror) {
  const auto sequences_of = [&](const Dataset& images) {
    return sequence.flatten(
        encode_images(*loaded.model, images, loaded.options.batch_size, loaded.options.device)
            .symbols);
  };
  Symbols all{sequences_of(set), set.labels};
  if (!mirror) return all;
  all.sequences = ops::concat_rows({all.sequences, sequences_of(mirrored(set))});
  all.labels.insert(all.labels.end(), set.labels.begin(), set.labels.end());
  return all;
}

// "_top", "_bottom"; "" for the only level.
std::string ending_of(const VqModel::Level& level) {
  return level.name.empty() ? "" : "_" + level.name;
}

class PriorTask final : public TrainingTask {
 public:
  PriorTask(Prior& prior, Symbols train, const Symbols& test,
            const std::vector<VqModel::Level>& levels)
      : prior_(prior), train_(std::move(train)), levels_(levels) {
    const int64_t measured = std::min(kMeasured, test.sequences.dim(0));
    test_ = {test.sequences.rows(0, measured),
             {test.labels.begin(), test.labels.begin() + measured}};
  }

  Module& network() override { return prior_; }
  int64_t examples() const override { return train_.sequences.dim(0); }
  std::vector<std::pair<std::string, Tensor>> counters() override { return prior_.counters(); }

  Variable loss(const std::vector<int32_t>& examples, Rng rng) override {
    const int64_t T = train_.sequences.dim(1);
    Tensor sequences({std::ssize(examples), T}, DType::i32);
    std::vector<int32_t> labels;
    for (size_t i = 0; i < examples.size(); ++i) {
      std::copy_n(train_.sequences.data<int32_t>() + examples[i] * T, T,
                  sequences.data<int32_t>() + static_cast<int64_t>(i) * T);
      labels.push_back(rng.uniform(i) < kWithoutClass ? static_cast<int32_t>(prior_.no_class())
                                                      : train_.labels[examples[i]]);
    }
    return prior_.loss(sequences, labels);
  }

  // Bits per symbol of each level.
  std::vector<std::pair<std::string, double>> measure() override {
    const std::vector<double> bits = bits_per_symbol(prior_, test_.sequences, test_.labels);
    std::vector<std::pair<std::string, double>> all;
    for (size_t level = 0; level < bits.size(); ++level)
      all.emplace_back("test_bits" + ending_of(levels_[level]), bits[level]);
    return all;
  }

 private:
  Prior& prior_;
  Symbols train_, test_;
  const std::vector<VqModel::Level>& levels_;
};

// The cost of the test images by each model, in a file beside the run as well.
void report(const Prior& prior, const Symbols& train, const Symbols& test, int64_t images,
            const std::vector<VqModel::Level>& levels, const std::string& folder) {
  const SymbolSequence& sequence = prior.sequence();
  std::vector<double> uniform;
  for (const SymbolLevel& level : sequence.levels())
    uniform.push_back(std::log2(static_cast<double>(level.codes)));
  std::vector<std::pair<std::string, std::vector<double>>> all = {
      {"log2 K", uniform}, {"unigram entropy", unigram_bits(sequence, test.sequences)}};
  const int64_t counted = std::min(images, kCounted / sequence.length());
  if (counted >= 10)
    all.emplace_back(
        "mixed neighbours",
        context_mixture_bits(sequence, train.sequences.rows(0, counted), test.sequences));
  if (prior.no_class() > 0)
    all.emplace_back("prior, class known", bits_per_symbol(prior, test.sequences, test.labels));
  const std::vector<int32_t> none(test.labels.size(), static_cast<int32_t>(prior.no_class()));
  all.emplace_back("prior", bits_per_symbol(prior, test.sequences, none));

  std::string csv = "model,bits_per_image";
  for (const auto& level : levels) csv += ",bits_per_symbol" + ending_of(level);
  csv += "\n";
  fmt::print("{} test images of {} symbols\n", test.sequences.dim(0), sequence.length());
  for (const auto& [name, bits] : all) {
    double image = 0;
    std::string per_symbol, columns;
    for (size_t level = 0; level < bits.size(); ++level) {
      image += bits[level] * static_cast<double>(sequence.levels()[level].length());
      per_symbol += fmt::format("{}{:.3f}{}", level > 0 ? ", " : "", bits[level],
                                levels[level].name.empty() ? "" : " " + levels[level].name);
      columns += fmt::format(",{:.6g}", bits[level]);
    }
    csv += fmt::format("{},{:.6g}{}\n",
                       name.find(',') == std::string::npos ? name : "\"" + name + "\"", image,
                       columns);
    fmt::print("{:<19}{:>8.1f} bits per image  {} per symbol\n", name, image, per_symbol);
  }
  write_file(folder + "/bits.csv", csv);
}

std::unique_ptr<Prior> make_network(const SymbolSequence& sequence, const Asked& asked) {
  const Rng rng = Rng(asked.network.seed).split(0);
  const Device device = asked.network.device;
  const PriorOptions& o = asked.prior;
  if (asked.kind == "transformer")
    return std::make_unique<TransformerPrior>(sequence, o, rng, device);
  return std::make_unique<GatedPixelCnn>(
      sequence, PixelCnnOptions{.layers = o.layers, .width = o.width, .classes = o.classes}, rng,
      device);
}

int train(const ModelUse& use, Asked asked) {
  const LoadedModel loaded = use.load(asked.model);
  asked.network.device = loaded.options.device;
  asked.network.threads = loaded.options.threads;
  const DatasetPair images = images_of(loaded);
  const SymbolSequence sequence =
      symbol_sequence(*loaded.model, images.train.images.dim(1), images.train.images.dim(2));
  if (asked.classes) asked.prior.classes = class_count(images);
  Symbols test = symbols_of(loaded, sequence, images.test, false);
  Symbols symbols = symbols_of(loaded, sequence, images.train, asked.mirror);
  if (!asked.classes)
    for (Symbols* set : {&symbols, &test}) std::ranges::fill(set->labels, 0);  // no_class()

  const std::unique_ptr<Prior> made = make_network(sequence, asked);
  Prior& prior = *made;
  nlohmann::ordered_json config = config_of(prior);
  config["mirror"] = asked.mirror;
  config["first_stage"] = fingerprint_of_weights(asked.model);
  config.update(config_of(asked.network));
  if (asked.out.empty()) asked.out = folder_beside(loaded, "prior", asked.network.seed);
  if (!asked.quiet)
    fmt::print("{}: {} sequences of {} symbols, {} parameters\n", asked.out,
               symbols.sequences.dim(0), sequence.length(), prior.parameter_count());
  PriorTask task(prior, symbols, test, loaded.model->levels());
  if (train_network(task, asked.network, config, asked.out, asked.quiet) ==
      TrainingEnd::interrupted)
    return kInterrupted;
  report(prior, symbols, test, images.train.size(), loaded.model->levels(), asked.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app(
      "Trains a prior over the symbols of a trained model: a transformer that predicts each "
      "symbol from those before it.");
  Asked asked;
  app.add_option("model", asked.model, "a run's folder")->required();
  app.add_option("--out", asked.out, "the prior's folder; default MODEL/prior-seedN");
  app.add_option("--network", asked.kind)
      ->check(one_of({"transformer", "pixelcnn"}))
      ->capture_default_str();
  app.add_option("--layers", asked.prior.layers)->check(in_range(1, 64))->capture_default_str();
  app.add_option("--width", asked.prior.width,
                 "of the network; of a transformer a multiple of the heads")
      ->check(in_range(1, 4096))
      ->capture_default_str();
  app.add_option("--heads", asked.prior.heads, "of the transformer's attention")
      ->check(in_range(1, 64))
      ->capture_default_str();
  app.add_option("--dropout", asked.prior.dropout)
      ->check(number_in(0, 0.9, "X"))
      ->capture_default_str();
  app.add_flag("!--no-classes", asked.classes, "the prior does not know the images' classes");
  app.add_flag("!--no-mirror", asked.mirror, "train on the images alone, not also mirrored");
  app.add_flag("--quiet", asked.quiet, "no progress");
  add_network_options(app, asked.network);
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    for (const char* option : {"--heads", "--dropout"})
      if (asked.kind != "transformer" && app.given(option))
        throw UsageError(option, "goes with --network transformer");
    if (asked.kind == "transformer" && asked.prior.width % asked.prior.heads != 0)
      throw UsageError("--width", fmt::format("{} is no multiple of {} heads", asked.prior.width,
                                              asked.prior.heads));
    return train(use, asked);
  });
}
