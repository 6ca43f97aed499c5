// The speed of one training step against its floor (floor.h), both measured in turn in one process:
// medians, their ratio, the share of every primitive, and memory. --json FILE keeps all numbers.
//   bin/bench --precision bf16 --batch 128      one configuration
//   bin/bench --precision fp32,bf16 --sweep     also sizes around it
//   bin/bench --epoch 50                        also whether steps wait for their input
//   bin/bench --convolutions                    also every convolution, direct and as computed
//   bin/bench --nearest                         also the nearest-code search by itself
//   bin/bench --quantizers                      also the cost of every quantizer
//   bin/bench --serve                           a time for each line read (bench_peers.py,
//   prior_step.py)
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <iostream>
#include <optional>
#include <sstream>

#include "experiments/bench/bench_output.h"
#include "experiments/cli/program.h"
#include "experiments/cli/version.h"
#include "experiments/generate/prior.h"
#include "experiments/run/option_table.h"
#include "nn/adam.h"
#include "nn/clip.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "vq/ops.h"

using namespace versor;

namespace {

constexpr int64_t kSweepRepeats = 3;
constexpr int kServedFloorRounds = 5;
constexpr int64_t kNearestRows = 8192;  // the rows of a batch of 128

struct BenchOptions {
  StepConfiguration what;  // of the first measurement, except the precision
  RunOptions run;          // its sizes, device and threads
  std::vector<std::string> precisions = {"auto"};
  int64_t repeats = 7;
  int64_t epoch = 0;  // batches; 0: not measured
  bool sweep = false, convolutions = false, nearest = false, quantizers = false, serve = false;
  std::string json;
};

void add_options(Options& app, BenchOptions& o) {
  const auto positive = in_range(1, int64_t{1} << 20);
  app.add_option("--batch,--batch-size", o.what.batch)->check(positive)->capture_default_str();
  for (const char* name : {"--device", "--latent", "--codes", "--threads", "--downsampling"})
    add_run_option(app, o.run, name);
  app.add_option("--size", o.what.image, "pixels per side of the images")
      ->check(in_range(4, 1 << 12))
      ->capture_default_str();
  app.add_option("--repeats", o.repeats, "medians are taken over so many")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--precision", o.precisions, "one, or several with commas: each is measured")
      ->delimiter(',')
      ->check(one_of(names_of<Precision>()))
      ->capture_default_str();
  app.add_flag("!--no-graph", o.what.graph, "on a GPU, call every kernel of the step one by one");
  app.add_flag("--sweep", o.sweep, "then sizes around it in fp32 and bf16, and what time grows by");
  app.add_option("--epoch", o.epoch, "then so many batches of the input path against bare steps")
      ->check(positive);
  app.add_flag("--convolutions", o.convolutions,
               "then every convolution of the step beside the direct one, on the CPU");
  app.add_flag("--nearest", o.nearest, "then the nearest-code search against its bare products");
  app.add_flag("--quantizers", o.quantizers,
               "then a step with every quantizer against the plain one; --codes a power of two");
  app.add_flag(
      "--serve", o.serve,
      "on demand, in ms: a step (line \"step\"), the floor (\"floor\"), a search (\"nearest R "
      "K D\"), a step of a prior over the symbols (\"prior\"), an image sampled from it "
      "(\"sample\")");
  app.add_option("--json", o.json, "file for everything that was measured");
}

nlohmann::ordered_json run_sweep(const StepConfiguration& base) {
  nlohmann::ordered_json sizes, growth;
  print_sizes_header();
  std::vector<Precision> precisions{Precision::fp32};
  if (backend_for(base.device).info().fast_bf16) precisions.push_back(Precision::bf16);
  measure_sizes(base, precisions, kSweepRepeats, [&](const StepMeasurement& m) {
    print_sizes_row(m);
    sizes.push_back(to_json(m));
  });
  print_growth_header(base);
  measure_growth(base, kSweepRepeats, [&](const Growth& g) {
    print_growth_row(g);
    growth.push_back(to_json(g));
  });
  return {{"repeats", kSweepRepeats},
          {"sizes", sizes},
          {"growth_precision", name_of(base.precision)},
          {"growth", growth}};
}

nlohmann::ordered_json run_convolutions(const StepConfiguration& what, int64_t repeats) {
  nlohmann::ordered_json rows;
  const DType type = activations_of(what.precision);
  print_convolutions_header(type);
  for (const StepConvolution& conv :
       step_convolutions(what.batch, what.image, what.latent, what.downsampling)) {
    const ConvolutionMeasurement m = measure_convolution(conv, type, repeats);
    print_convolutions_row(m);
    rows.push_back(to_json(m));
  }
  return rows;
}

nlohmann::ordered_json run_nearest(Device device, int64_t repeats) {
  nlohmann::ordered_json rows;
  print_nearest_header(kNearestRows);
  for (const auto& [codes, latent] : nearest_sizes()) {
    const NearestMeasurement m = measure_nearest(kNearestRows, codes, latent, device, repeats);
    print_nearest_row(m);
    rows.push_back(to_json(m));
  }
  return rows;
}

nlohmann::ordered_json run_quantizers(const StepConfiguration& what, int64_t repeats) {
  nlohmann::ordered_json rows;
  print_quantizers_header(what);
  measure_quantizers(what, repeats, [&](const QuantizerMeasurement& m) {
    print_quantizers_row(m);
    rows.push_back(to_json(m));
  });
  return rows;
}

// Times one search with new random rows; `sizes`: "R K D".
double seconds_of_search(const std::string& sizes, Device device) {
  std::istringstream in(sizes);
  int64_t rows = 0, codes = 0, latent = 0;
  check(in >> rows >> codes >> latent && rows > 0 && codes > 0 && latent > 0, "serve",
        "nearest needs R K D, not '", sizes, "'");
  const Tensor e = ops::uniform({rows, latent}, Rng(5), -1.f, 1.f, device);
  const Tensor c = ops::uniform({codes, latent}, Rng(6), -1.f, 1.f, device);
  Backend& backend = backend_for(device);
  return seconds_of([&] {
    vq::nearest_code(e, c);
    backend.synchronize();
  });
}

// The transformer of bin/prior over the symbols of such a model, random ones, in f32.
class PriorBenchmark {
 public:
  explicit PriorBenchmark(const StepConfiguration& what)
      : side_(what.image / what.downsampling),
        backend_(backend_for(what.device)),
        prior_(SymbolSequence({{.codes = what.codes, .height = side_, .width = side_}}), {}, Rng(1),
               what.device),
        adam_(prior_.flat_parameters(), {.lr = 1e-3f, .weight_decay = 0.01f}),
        labels_(static_cast<size_t>(what.batch), static_cast<int32_t>(prior_.no_class())),
        sequences_({what.batch, side_ * side_}, DType::i32) {
    omp_set_num_threads(what.threads);
    const auto codes = static_cast<uint32_t>(what.codes);
    for (int64_t i = 0; i < sequences_.numel(); ++i)
      sequences_.data<int32_t>()[i] = static_cast<int32_t>(Rng(2).bits(i) % codes);
  }

  double seconds_of_step() {
    prior_.set_training(true);
    return seconds_of([&] {
      adam_.zero_grad();
      backward(prior_.loss(sequences_, labels_));
      clip_gradient_norm(prior_.flat_parameters(), 1.f);
      adam_.step();
      backend_.synchronize();
    });
  }
  double seconds_of_an_image() {
    prior_.set_training(false);
    return seconds_of([&] { sample(prior_, labels_, {}); }) / static_cast<double>(labels_.size());
  }

 private:
  int64_t side_;
  Backend& backend_;
  TransformerPrior prior_;
  Adam adam_;
  std::vector<int32_t> labels_;  // none
  Tensor sequences_;
};

// Prints a line that describes this program, then answers requests from standard input on standard
// output until the input ends.
void serve(const StepConfiguration& what) {
  StepBenchmark benchmark(what);
  const nlohmann::ordered_json hello = {{"precision", name_of(what.precision)},
                                        {"threads", what.threads},
                                        {"peak_bytes", benchmark.memory().peak},
                                        {"device", backend_for(what.device).info().name}};
  std::cout << hello.dump() << std::endl;
  std::optional<PriorBenchmark> prior;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "step") {
      std::cout << 1e3 * benchmark.time() << std::endl;
    } else if (line == "floor") {
      std::string why;
      const auto floor = make_floor(what, why);
      check(floor != nullptr, "floor", why);
      for (int i = 0; i < kServedFloorRounds; ++i) floor->measure_once();
      std::cout << 1e3 * floor->seconds() << std::endl;
    } else if (line.starts_with("nearest ")) {
      std::cout << 1e3 * seconds_of_search(line.substr(8), what.device) << std::endl;
    } else if (line == "prior" || line == "sample") {
      if (!prior) prior.emplace(what);
      std::cout << 1e3 * (line == "prior" ? prior->seconds_of_step() : prior->seconds_of_an_image())
                << std::endl;
    } else {
      fail("serve", "unknown request '", line, "': step, floor, nearest, prior or sample");
    }
  }
}

void run(BenchOptions o) {
  o.what.device = o.run.device;
  o.what.latent = o.run.latent;
  o.what.codes = o.run.codes;
  o.what.downsampling = o.run.downsampling;
  o.what.threads = o.run.threads > 0 ? o.run.threads : omp_get_max_threads();
  std::vector<Precision> measured;
  nlohmann::ordered_json all = {{"program", "bench " + version() + " (commit " + commit() + ")"},
                                {"compiler", compiler_flags()},
                                {"hardware", backend_for(o.what.device).info().name}};
  // Called after every part, so that an interrupted sweep leaves its results, and before the first,
  // so that a file that cannot be written is reported at once.
  const auto save = [&] {
    if (!o.json.empty()) write_file(o.json, all.dump(2) + "\n");
  };
  for (const std::string& name : o.precisions) {
    o.what.precision = resolve_precision(parse_name<Precision>(name), o.what.device);
    if (std::find(measured.begin(), measured.end(), o.what.precision) != measured.end()) continue;
    measured.push_back(o.what.precision);
    if (o.serve) return serve(o.what);
    save();
    const StepMeasurement m = measure_step_in_detail(o.what, o.repeats);
    print(m);
    all["configurations"].push_back(to_json(m));
    save();
    if (!o.convolutions) continue;
    if (m.no_floor.empty())
      all["convolutions"][name_of(o.what.precision)] = run_convolutions(o.what, o.repeats);
    else
      fmt::print("convolutions: not measured, {}\n", m.no_floor);
  }
  if (o.epoch > 0) {
    const EpochMeasurement m = measure_epoch(o.what, o.epoch);
    print(m);
    all["epoch"] = to_json(m);
  }
  save();
  if (o.nearest) all["nearest"] = run_nearest(o.what.device, o.repeats);
  save();
  if (o.quantizers) all["quantizers"] = run_quantizers(o.what, o.repeats);
  save();
  if (!o.sweep) return;
  all["sweep"] = run_sweep(o.what);
  save();
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Time of a training step against the floor of its bare convolutions.");
  BenchOptions options;
  add_options(app, options);
  return run_program(app, argc, argv, [&] {
    if (options.what.image % options.run.downsampling != 0)
      throw UsageError("--size", fmt::format("{} is no multiple of --downsampling {}",
                                             options.what.image, options.run.downsampling));
    if (options.epoch > 0 && options.what.image != 32)
      throw UsageError("--epoch", "has images of 32 x 32 pixels; not with --size");
    if (options.epoch * options.what.batch > kMostEpochImages)
      throw UsageError("--epoch", "more than 1000000 images");
    if (options.serve && (options.precisions.size() > 1 || options.sweep || options.nearest ||
                          options.convolutions || options.quantizers || options.epoch > 0))
      throw UsageError("--serve", "takes one precision and nothing else to measure");
    if (options.convolutions && options.run.device.type != DeviceType::cpu)
      throw UsageError("--convolutions", "compares kernels of the CPU; --device cpu");
    if (options.quantizers && (!std::has_single_bit(static_cast<uint64_t>(options.run.codes)) ||
                               options.run.codes < 8 || options.run.codes > 1 << 16))
      throw UsageError("--quantizers", "--codes must be a power of two from 8 to 65536");
    run(options);
    return 0;
  });
}
