// What only a GPU can say about its convolutions, in minutes: the part probe of `make verify-gpu`,
// and `make tune-gpu`. Every result is printed and written to --json at once. The items, in this
// order:
//   errors   each convolution plan of a step: time, and error against exact sums; does an fp32 plan
//            round to TF32 without saying so?
//   plans    every engine of cuDNN and its knobs for these convolutions, as far as the time goes;
//            the step by the heuristics' plans and by the fastest; --plans FOLDER keeps these
//   streams  input and weight gradient of a layer, on one stream and on two; the step without and
//            with branches
//   split    fp32 as three TF32 products (tensor/cuda/split.h): time and error beside fp32 and TF32
//   bin/probe --seconds 240 --json probe.json
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "experiments/bench/probe_report.h"
#include "experiments/bench/step_benchmark.h"
#include "experiments/cli/program.h"
#include "experiments/cli/version.h"
#include "experiments/run/option_table.h"
#include "tensor/cuda/tuning.h"
#include "tensor/file.h"

using namespace versor;

namespace {

using cuda::ConvKey;
using cuda::ConvKind;
using cuda::ConvTuner;
using cuda::PlanTiming;
using Json = nlohmann::ordered_json;

constexpr double kStepsSeconds = 10, kStreamsSeconds = 40, kSplitSeconds = 40;
constexpr double kWorthAnEntry = 0.97;  // of the heuristics' time; less is noise

const std::vector<std::string> kItems{"errors", "plans", "streams", "split"};

struct ProbeOptions {
  StepConfiguration what;
  RunOptions run;
  std::vector<std::string> items = kItems, precisions{"bf16", "tf32", "fp32"};
  int64_t seconds = 240;
  std::string json, plans;
  bool wants(const std::string& item) const { return std::ranges::count(items, item) > 0; }
};

double flops(const ConvKey& k) {
  return 2.0 * static_cast<double>(k.N * k.out_h() * k.out_w() * k.O) *
         static_cast<double>(k.kh * k.kw * k.I);
}

bool is_exact_enough(const ConvKey& key, const PlanTiming& t) {
  return t.error <= cuda::error_bound(key);  // false for NaN
}

Json to_json(const ConvKey& key, const PlanTiming& t) {
  return {{"convolution", to_text(key)},
          {"engine", to_text(t.choice)},
          {"us", 1e6 * t.seconds},
          {"tflops", 1e-12 * flops(key) / t.seconds},
          {"error", fmt::format("{:.2e}", t.error)},
          {"within_bound", is_exact_enough(key, t)},
          {"compiled_at_run_time", t.compiled_at_run_time},
          {"workspace_bytes", t.workspace_bytes}};
}

std::string line_of(const ConvKey& key, const PlanTiming& t) {
  return fmt::format("  {:<55} {:>9.1f} us {:>7.1f} TFLOP/s  error {:.1e}{}", to_text(key),
                     1e6 * t.seconds, 1e-12 * flops(key) / t.seconds, t.error,
                     is_exact_enough(key, t) ? "" : "  ABOVE ITS BOUND");
}

class Probe {
 public:
  explicit Probe(const ProbeOptions& o)
      : o_(o),
        backend_(backend_for(o.what.device)),
        budget_(static_cast<double>(o.seconds)),
        report_(o.json, {{"program", "probe " + version() + " (commit " + commit() + ")"},
                         {"hardware", backend_.info().name}}) {}

  void run() {
    const std::pair<const char*, void (Probe::*)()> all[] = {{"errors", &Probe::errors},
                                                             {"plans", &Probe::plans},
                                                             {"streams", &Probe::streams},
                                                             {"split", &Probe::split}};
    for (const auto& [name, item] : all) {
      if (!o_.wants(name)) continue;
      say(fmt::format("{} ({:.0f} s left)", name, budget_.left()));
      if (budget_.is_over()) {
        report_.add("no_time_for", name);
        continue;
      }
      attempt(name, [this, item = item] { (this->*item)(); });
    }
    check(!failed_, "probe", "something failed, see above");
  }

 private:
  static void say(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  // What comes after a convolution or an item that fails may work all the same.
  void attempt(const std::string& what, const std::function<void()>& work) {
    try {
      work();
    } catch (const std::exception& e) {
      failed_ = true;
      say(fmt::format("  FAILED {}: {}", what, e.what()));
      report_.add("failed", {{"what", what}, {"why", e.what()}});
    }
  }

  // Runs a step in each precision, and with that makes its plans.
  void steps(const char* by, const BackendOptions& change = {}) {
    for (const std::string& name : o_.precisions) {
      if (name == "tf32" && !backend_.info().has_tf32) continue;
      step(name, by, change);
    }
  }
  // With branches or split_f32 as said, instead of what the environment says.
  void step(const std::string& precision, const char* by, BackendOptions change) {
    StepConfiguration what = o_.what;
    what.precision = resolve_precision(parse_name<Precision>(precision), what.device);
    change.tf32 = what.precision != Precision::fp32 && backend_.info().has_tf32;
    backend_.configure(change);
    const double ms = 1e3 * StepBenchmark(what).time();
    say(fmt::format("  a step in {}, {}: {:.3f} ms", precision, by, ms));
    report_.add("steps", {{"precision", precision}, {"plans", by}, {"ms", ms}});
  }

  // The convolutions of the steps: fp32, then TF32, then bf16; among them the weight gradients
  // first, since what they are computed in was in doubt.
  std::vector<ConvKey> keys() {
    if (cuda::planned_convolutions(o_.what.device).empty()) steps("as built");
    std::vector<ConvKey> all = cuda::planned_convolutions(o_.what.device);
    std::erase_if(all, [](const ConvKey& k) { return !k.aligned || !k.deterministic; });
    std::ranges::stable_sort(all, {}, [](const ConvKey& k) {
      return std::tuple(k.dtype == DType::bf16, k.tf32, k.kind != ConvKind::grad_weight, -flops(k));
    });
    return all;
  }

  void errors() {
    for (const ConvKey& key : keys()) {
      if (budget_.is_over()) return;
      attempt(to_text(key), [&] {
        const auto t = ConvTuner(o_.what.device, key).measure_in_use();
        if (!t) return;
        say(line_of(key, *t));
        report_.add("errors", to_json(key, *t));
      });
    }
  }

  void plans() {
    cuda::use_plans(o_.what.device, cuda::empty_table(o_.what.device));
    steps("heuristics");
    cuda::PlanTable table = cuda::empty_table(o_.what.device);
    const std::string path = o_.plans + "/" + table.file_name();
    if (!o_.plans.empty()) {
      std::filesystem::create_directories(o_.plans);
      if (is_there(path)) table = cuda::PlanTable(path, read_file(path));
    }
    std::vector<ConvKey> all = keys();
    std::ranges::reverse(all);  // bf16 first: most trainings are in it
    // keeps time for the items after this one, and for the steps at the end
    const TimeBudget budget =
        budget_.except(kStepsSeconds + (o_.wants("streams") ? kStreamsSeconds : 0) +
                       (o_.wants("split") ? kSplitSeconds : 0));
    for (size_t i = 0; i < all.size() && !budget.is_over(); ++i) {
      const TimeBudget share = budget.share(static_cast<int64_t>(all.size() - i));
      attempt(to_text(all[i]), [&] { tune(all[i], share, table); });
      if (!o_.plans.empty()) write_file(path, table.text());
    }
    cuda::use_plans(o_.what.device, table);
    steps("measured");
  }

  // Searches for the fastest plan that is exact enough, and enters it if it is worth it.
  void tune(const ConvKey& key, const TimeBudget& budget, cuda::PlanTable& table) {
    ConvTuner tuner(o_.what.device, key);
    auto heuristics = tuner.measure_in_use();
    check(heuristics.has_value(), "probe", "no plan any more for ", to_text(key));
    PlanTiming best = *heuristics;
    Json tried = Json::array();
    cuda::search_plans(
        tuner.options(),
        [&](const cuda::EngineChoice& choice) -> std::optional<double> {
          std::optional<PlanTiming> t;
          try {
            t = tuner.measure(choice);
          } catch (const Error& e) {  // a plan that exists may still fail when it runs
            tried.push_back({to_text(choice), e.what()});
          }
          if (!t) return std::nullopt;
          tried.push_back({to_text(choice), 1e6 * t->seconds, fmt::format("{:.1e}", t->error)});
          if (!is_exact_enough(key, *t)) return std::nullopt;
          if (t->seconds < best.seconds) best = *t;
          return t->seconds;
        },
        [&] { return budget.share_left(); });
    if (best.choice != heuristics->choice)  // the fastest of many was also lucky: once more, both
      for (PlanTiming* t : {&*heuristics, &best})
        if (const auto again = tuner.measure(t->choice)) *t = *again;
    const double ratio = best.seconds / heuristics->seconds;
    say(fmt::format("{}  {:.2f} of the heuristics' time, {} tried, engine {}", line_of(key, best),
                    ratio, tried.size(), to_text(best.choice)));
    Json row = to_json(key, best);
    row["heuristics"] = to_json(key, *heuristics);
    row["tried"] = std::move(tried);  // engine and knobs, us, error; or why it failed
    report_.add("plans", std::move(row));
    table.remove(key);
    if (ratio < kWorthAnEntry)
      table.set(key, best.choice,
                fmt::format("{:.1f} us; heuristics {:.1f} us", 1e6 * best.seconds,
                            1e6 * heuristics->seconds));
  }

  // The gradients of one layer have the same sizes and the same dy.
  void streams() {
    const std::vector<ConvKey> all = keys();
    for (const ConvKey& weight : all) {
      if (weight.kind != ConvKind::grad_weight || budget_.is_over()) continue;
      ConvKey input = weight;
      input.kind = ConvKind::grad_input;
      if (std::ranges::find(all, input) == all.end()) continue;
      attempt(to_text(weight), [&] {
        ConvTuner a(o_.what.device, input), b(o_.what.device, weight);
        if (!a.measure_in_use() || !b.measure_in_use()) return;
        const ConvTuner::Pair t = ConvTuner::measure_pair(a, b);
        say(fmt::format("  {:<55} {:>9.1f} us after the input's, {:>7.1f} us beside it ({:.2f})",
                        to_text(weight), 1e6 * t.one_stream, 1e6 * t.two_streams,
                        t.two_streams / t.one_stream));
        report_.add("streams", {{"convolution", to_text(weight)},
                                {"one_stream_us", 1e6 * t.one_stream},
                                {"two_streams_us", 1e6 * t.two_streams}});
      });
    }
    steps("one stream");
    steps("branches", {.branches = true});
  }

  void split() {
    const std::pair<const char*, BackendOptions> ways[] = {
        {"fp32", {}}, {"tf32", {.tf32 = true}}, {"3 x tf32", {.split_f32 = true}}};
    for (const ConvKey& key : keys()) {
      if (key.dtype != DType::f32 || key.tf32) continue;
      for (const auto& [name, options] : ways) {
        if (budget_.is_over()) return;
        attempt(to_text(key) + " by " + name, [&, name = name, &options = options] {
          const PlanTiming t = ConvTuner(o_.what.device, key).measure_primitive(options);
          say(fmt::format("  {:<55} {:<8} {:>9.1f} us  error {:.1e}", to_text(key), name,
                          1e6 * t.seconds, t.error));
          report_.add("split", {{"convolution", to_text(key)},
                                {"by", name},
                                {"us", 1e6 * t.seconds},
                                {"error", fmt::format("{:.2e}", t.error)}});
        });
      }
    }
    step("fp32", "3 x tf32", {.split_f32 = true});
  }

  const ProbeOptions& o_;
  Backend& backend_;
  TimeBudget budget_;
  ProbeReport report_;
  bool failed_ = false;
};

void add_options(Options& app, ProbeOptions& o) {
  o.run.device = {DeviceType::cuda, 0};
  app.add_option("--items", o.items, "which, with commas")
      ->delimiter(',')
      ->check(one_of(kItems))
      ->capture_default_str();
  app.add_option("--seconds", o.seconds, "for all items together")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--precision", o.precisions, "of the steps whose convolutions are measured")
      ->delimiter(',')
      ->check(one_of({"bf16", "tf32", "fp32"}))
      ->capture_default_str();
  app.add_option("--batch,--batch-size", o.what.batch)
      ->check(in_range(1, int64_t{1} << 20))
      ->capture_default_str();
  for (const char* name : {"--device", "--latent", "--codes", "--threads"})
    add_run_option(app, o.run, name);
  app.add_option("--plans", o.plans, "folder for the fastest plans, in a file for this card");
  app.add_option("--json", o.json, "file for everything that was measured");
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Measures cuDNN's convolution plans on a GPU.");
  ProbeOptions options;
  add_options(app, options);
  return run_program(app, argc, argv, [&] {
    if (options.run.device.type != DeviceType::cuda)
      throw UsageError("--device", "a GPU is needed: cuda or cuda:N");
    options.what.device = options.run.device;
    options.what.latent = options.run.latent;
    options.what.codes = options.run.codes;
    options.what.threads = options.run.threads > 0 ? options.run.threads : omp_get_max_threads();
    Probe(options).run();
    return 0;
  });
}
