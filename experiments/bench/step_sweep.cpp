// Many configurations around one: see step_sweep.h.
#include "experiments/bench/step_sweep.h"

#include <algorithm>
#include <set>

#include "experiments/report/statistics.h"

namespace versor {
namespace {

// The value times each factor, at least `least`, sorted and without duplicates.
std::set<int64_t> multiples(int64_t value, const std::vector<double>& factors, int64_t least) {
  std::set<int64_t> all;
  for (double f : factors)
    all.insert(std::max(least, static_cast<int64_t>(static_cast<double>(value) * f)));
  return all;
}

// 1..all, or the powers of two and all where there are many.
std::set<int64_t> numbers_of_cores(int all) {
  std::set<int64_t> numbers{all};
  for (int n = 1; n < all; n = all <= 8 ? n + 1 : 2 * n) numbers.insert(n);
  return numbers;
}

constexpr int64_t kLeastLatent = 2;  // D/2 channels must be at least one

}  // namespace

void measure_sizes(const StepConfiguration& base, const std::vector<Precision>& precisions,
                   int64_t repeats, const std::function<void(const StepMeasurement&)>& each) {
  for (const Precision precision : precisions)
    for (int64_t latent : multiples(base.latent, {0.25, 1}, kLeastLatent))
      for (int64_t batch : multiples(base.batch, {0.25, 1, 4}, 1)) {
        StepConfiguration what = base;
        what.precision = resolve_precision(precision, base.device);
        what.latent = latent;
        what.batch = batch;
        each(measure_step(what, repeats));
      }
}

void measure_growth(const StepConfiguration& base, int64_t repeats,
                    const std::function<void(const Growth&)>& each) {
  resolve_precision(base.precision, base.device);
  StepBenchmark reference(base);
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeats; ++i) seconds.push_back(reference.time());
  const auto along = [&](const char* axis, const std::set<int64_t>& values,
                         auto StepConfiguration::*member) {
    for (int64_t value : values) {
      if (value == base.*member) {
        each({axis, value, median(seconds), 1});
        continue;
      }
      StepConfiguration what = base;
      what.*member = static_cast<std::remove_reference_t<decltype(what.*member)>>(value);
      StepBenchmark other(what);
      reference.time();  // its number of threads may differ from the other's
      const TimeRatio r =
          measure_ratio([&] { return other.time(); }, [&] { return reference.time(); }, repeats);
      each({axis, value, r.seconds, r.ratio});
    }
  };
  along("batch", multiples(base.batch, {0.25, 0.5, 1, 2, 4}, 1), &StepConfiguration::batch);
  along("K", multiples(base.codes, {0.25, 0.5, 1, 2, 4}, 1), &StepConfiguration::codes);
  along("D", multiples(base.latent, {0.25, 0.5, 1, 2}, kLeastLatent), &StepConfiguration::latent);
  if (base.device.type == DeviceType::cpu)
    along("cores", numbers_of_cores(base.threads), &StepConfiguration::threads);
}

}  // namespace versor
