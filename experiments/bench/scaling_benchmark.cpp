// Times of steps and sums on the ranks at hand: see scaling_benchmark.h.
#include "experiments/bench/scaling_benchmark.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/cli/json_file.h"
#include "experiments/cli/version.h"
#include "nn/gradient_sums.h"
#include "tensor/ops.h"

namespace versor {
namespace {

constexpr float kBeta = 0.25f;
constexpr int64_t kLargestSum = int64_t{1} << 24;  // bytes
constexpr int64_t kSumsTogether = 4;

// The time of `work` on the slowest rank, which all start together. The least of several: what else
// a machine does only adds to it.
double slowest(Communicator& ranks, int64_t repeats, const std::function<void()>& work) {
  double least = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < repeats; ++i) {
    ranks.largest(0);
    const auto ns = static_cast<int64_t>(1e9 * seconds_of(work));
    least = std::min(least, 1e-9 * static_cast<double>(ranks.largest(ns)));
  }
  return least;
}

// A model with its step on random images, of all ranks together or of this one by itself.
class Training {
 public:
  Training(const StepConfiguration& what, int64_t images, Communicator& ranks)
      : images_(images),
        backend_(backend_for(what.device)),
        model_(model_of(what), what.device, Rng(1)),
        adam_(model_.flat_parameters()),
        guard_(ops::zeros({1}, what.device, DType::i32)),
        step_(model_, adam_, Sharing(ranks)) {
    const BatchPart part = Sharing(ranks).parts(images).front();
    pictures_ =
        ops::uniform({part.worked_count(), what.image, what.image, 3},
                     Rng(2).split(static_cast<uint64_t>(ranks.rank())), -1.f, 1.f, what.device);
    model_.start_codebooks(
        1, [&](int64_t) { return std::vector{pictures_}; }, ranks);
    run();  // warms up, and finds the order of the gradients
    run();
  }

  void run() {
    step_(images_, images_of_, kBeta, &guard_);
    backend_.synchronize();
  }
  void run_forward() {
    step_.evaluate(images_, images_of_, kBeta, false);
    backend_.synchronize();
  }
  double gradient_bytes() const { return 4.0 * static_cast<double>(model_.parameter_count()); }

 private:
  int64_t images_;
  Backend& backend_;
  VqVae model_;
  Adam adam_;
  FiniteGuard guard_;
  TrainingStep step_;
  Tensor pictures_;  // this rank's part
  const ImagesOfPart images_of_ = [this](const BatchPart&) { return pictures_; };
};

void measure_alone(ScalingMeasurement& m, int64_t repeats, Communicator& ranks) {
  std::set<int64_t> sizes = {m.what.batch};
  for (const int64_t parts : {m.ranks, 2 * m.ranks, int64_t{2}, int64_t{4}})
    sizes.insert(std::max<int64_t>(1, m.what.batch / parts));
  const int64_t own = std::max<int64_t>(1, m.what.batch / m.ranks);
  for (const int64_t images : sizes) {
    Training training(m.what, images, alone());
    const double seconds = slowest(ranks, repeats, [&] { training.run(); });
    m.steps.push_back({static_cast<double>(images), seconds});
    if (images != own) continue;
    const double forward = slowest(ranks, repeats, [&] { training.run_forward(); });
    m.backward_share = std::clamp(1 - forward / seconds, 0.0, 1.0);
  }
}

void measure_sums(ScalingMeasurement& m, int64_t repeats, Communicator& ranks) {
  for (int64_t bytes = 4; bytes <= kLargestSum; bytes *= 4) {
    Tensor x = ops::zeros({bytes / 4}, m.what.device);
    const auto sums = [&] {
      for (int64_t i = 0; i < kSumsTogether; ++i) ranks.all_reduce(x);
      x.backend().synchronize();
    };
    sums();
    m.sums.push_back({static_cast<double>(bytes), slowest(ranks, repeats, sums) / kSumsTogether});
  }
}

void measure_together(ScalingMeasurement& m, int64_t repeats, Communicator& ranks) {
  Training training(m.what, m.what.batch, ranks);
  m.step_seconds = slowest(ranks, repeats, [&] { training.run(); });
  m.gradient_bytes = training.gradient_bytes();
  if (ranks.is_alone()) return;
  Profile profile;
  training.run();
  for (const auto& [name, entry] : profile.entries()) {
    if (name == "all_reduce" || name == "broadcast") m.statistics_bytes += entry.bytes;
    if (name == "all_reduce" || name == "broadcast" || name == "all_reduce_guard")
      m.waits += static_cast<double>(entry.calls);
  }
}

nlohmann::ordered_json rows_of(const std::vector<Timed>& all, const char* size) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Timed& t : all) rows.push_back({{size, t.x}, {"seconds", t.seconds}});
  return rows;
}

double positive(const nlohmann::json& value, const char* name) {
  const double number = value.at(name).get<double>();
  check(std::isfinite(number) && number > 0, "scaling", "\"", name, "\" is not above 0");
  return number;
}

std::vector<Timed> times_from(const nlohmann::json& rows, const char* size) {
  std::vector<Timed> all;
  for (const auto& row : rows) all.push_back({positive(row, size), positive(row, "seconds")});
  return all;
}

}  // namespace

StepCost ScalingMeasurement::cost() const {
  StepCost cost;
  cost.compute = fit_compute(steps);
  cost.backward_share = backward_share;
  cost.gradient_bytes = gradient_bytes;
  cost.bucket_bytes = static_cast<double>(GradientSums::kBucketBytes);
  cost.statistics_bytes = statistics_bytes;
  cost.waits = waits;
  return cost;
}

Link ScalingMeasurement::link(SumBy by) const {
  return fit_link(sums, ranks, by);
}

ScalingMeasurement measure_scaling(const StepConfiguration& what, int64_t repeats,
                                   const std::string& name, Communicator& ranks) {
  ScalingMeasurement m;
  m.what = what;
  m.ranks = ranks.size();
  m.name = name;
  m.commit = commit();
  m.mpi = ranks.is_alone() ? "" : mpi_version();
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const auto hosts = ranks.all_gather(host);
  m.hosts = static_cast<int64_t>(std::set<std::string>(hosts.begin(), hosts.end()).size());
  measure_alone(m, repeats, ranks);
  if (!ranks.is_alone()) measure_sums(m, repeats, ranks);
  measure_together(m, repeats, ranks);
  return m;
}

nlohmann::ordered_json to_json(const ScalingMeasurement& m) {
  return {{"name", m.name},
          {"commit", m.commit},
          {"mpi", m.mpi},
          {"device", backend_for(m.what.device).info().name},
          {"threads", m.what.threads},
          {"precision", name_of(m.what.precision)},
          {"latent", m.what.latent},
          {"codes", m.what.codes},
          {"batch", m.what.batch},
          {"ranks", m.ranks},
          {"hosts", m.hosts},
          {"steps", rows_of(m.steps, "images")},
          {"backward_share", m.backward_share},
          {"sums", rows_of(m.sums, "bytes")},
          {"gradient_bytes", m.gradient_bytes},
          {"statistics_bytes", m.statistics_bytes},
          {"waits", m.waits},
          {"step_seconds", m.step_seconds}};
}

ScalingMeasurement read_scaling(const std::string& path) {
  try {
    const auto json = read_json<nlohmann::json>(path);
    ScalingMeasurement m;
    m.name = json.at("name").get<std::string>();
    m.commit = json.at("commit").get<std::string>();
    m.what.batch = count_in(json.at("batch"), "batch");
    m.what.latent = count_in(json.at("latent"), "latent");
    m.what.codes = count_in(json.at("codes"), "codes");
    m.ranks = count_in(json.at("ranks"), "ranks");
    m.hosts = count_in(json.at("hosts"), "hosts");
    m.steps = times_from(json.at("steps"), "images");
    m.sums = times_from(json.at("sums"), "bytes");
    m.backward_share = json.at("backward_share").get<double>();
    m.gradient_bytes = positive(json, "gradient_bytes");
    m.statistics_bytes = json.at("statistics_bytes").get<double>();
    m.waits = json.at("waits").get<double>();
    m.step_seconds = positive(json, "step_seconds");
    check(m.ranks >= 1 && m.what.batch >= 1 && !m.steps.empty() && m.backward_share >= 0 &&
              m.backward_share <= 1 && m.statistics_bytes >= 0 && m.waits >= 0,
          "scaling", "a number is out of its range");
    if (m.ranks > 1) m.link(SumBy::blocks);  // throws if nothing can be fitted
    return m;
  } catch (const nlohmann::json::exception& e) {
    throw Error(str("scaling: ", path, ": ", e.what()));
  } catch (const Error& e) {
    throw Error(str("scaling: ", path, ": ", e.what()));
  }
}

}  // namespace versor
