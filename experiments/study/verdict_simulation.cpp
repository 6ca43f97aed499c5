// Simulation of the verdicts: see verdict_simulation.h.
#include "experiments/study/verdict_simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "experiments/report/inference.h"
#include "tensor/rng.h"

namespace versor {
namespace {

// The spread of our recorded seeds with beta 0.25, about: the logs of reconstruction loss, codebook
// loss and perplexity. Most of it follows the use of codes.
constexpr int kFigures = 3, kRecon = 0, kCodebook = 1, kPerplexity = 2;
constexpr double kFollows[kFigures] = {-0.054, -0.12, 0.45}, kOwn[kFigures] = {0.026, 0.05, 0};
constexpr double kMargin[kFigures] = {0.10, 0.25, 0};

struct Scenario {
  const char* label;
  int seeds, betas, theirs;
  double first_spread = 1, their_spread = 1;  // factors: of the judged beta, of the authors' runs
  bool heavy_tails = false;                   // Student's t with 5 degrees of freedom
};

class Sampler {
 public:
  Sampler(uint64_t stream, bool heavy_tails)
      : rng_(Rng(1).split(stream)), heavy_tails_(heavy_tails) {}

  // One run: the logs of its figures, about 0.
  std::array<double, kFigures> run(double spread) {
    const double use = draw();
    std::array<double, kFigures> logs;
    for (int q = 0; q < kFigures; ++q) logs[q] = spread * (kFollows[q] * use + kOwn[q] * draw());
    return logs;
  }

 private:
  double draw() {  // variance 1
    const double z = rng_.normal(at_++);
    if (!heavy_tails_) return z;
    double squares = 0;
    for (int i = 0; i < 5; ++i) {
      const double x = rng_.normal(at_++);
      squares += x * x;
    }
    return z / std::sqrt(squares / 5) / std::sqrt(5.0 / 3);
  }

  Rng rng_;
  bool heavy_tails_;
  uint64_t at_ = 0;
};

constexpr double kShifts[] = {1.1, 1.2, 1.5};

// Counts over the repeats; [0]: as they are, [1]: adjusted to equal perplexity.
struct Tally {
  double df = 0, covered95[2] = {}, covered90[2] = {}, wrongly = 0, found_at_detectable = 0;
  double equivalent[2][kFigures] = {}, though_apart = 0, half_width[2][kFigures] = {};
  double differs[2][kFigures][std::size(kShifts)] = {};
  std::map<int, double> detectable_errors;  // by degrees of freedom, computed once
};

bool holds_one(const Ratio& ratio, double confidence) {
  const Interval interval = ratio.interval(confidence);
  return interval.low <= 1 && 1 <= interval.high;
}

// The verdict on figure `at` if ours is `shift` times the paper's there and equal elsewhere.
std::string verdict_at(std::vector<Comparison> family, size_t at, double shift) {
  family[at].ratio.log += std::log(shift);
  judge(family);
  return family[at].verdict;
}

void count(std::vector<Comparison> family, int kind, Tally& tally) {
  judge(family);
  for (size_t q = 0; q < family.size(); ++q) {
    const Ratio& ratio = family[q].ratio;
    const double share = 1 / static_cast<double>(family.size());
    tally.covered95[kind] += share * holds_one(ratio, 0.95);
    tally.covered90[kind] += share * holds_one(ratio, 0.90);
    tally.equivalent[kind][q] += family[q].verdict == kEquivalent;
    tally.half_width[kind][q] += ratio.half_width();
    for (size_t i = 0; i < std::size(kShifts); ++i)
      tally.differs[kind][q][i] += verdict_at(family, q, kShifts[i]) == kDiffers;
  }
}

void repeat_once(const Scenario& s, Sampler& sampler, Tally& tally) {
  std::vector<std::vector<Logs>> ours(kFigures, std::vector<Logs>(s.betas));
  std::vector<Logs> theirs(kFigures);
  for (int b = 0; b < s.betas; ++b)
    for (int i = 0; i < s.seeds; ++i) {
      const auto run = sampler.run(b == 0 ? s.first_spread : 1);
      for (int q = 0; q < kFigures; ++q) ours[q][b].push_back(run[q]);
    }
  for (int i = 0; i < s.theirs; ++i) {
    const auto run = sampler.run(s.first_spread * s.their_spread);
    for (int q = 0; q < kFigures; ++q) theirs[q].push_back(run[q]);
  }
  std::vector<Comparison> family, adjusted;
  for (int q = 0; q < kFigures; ++q) {
    std::vector<Spread> spreads;
    for (const Logs& logs : ours[q]) spreads.push_back(spread_of(logs));
    const Spread spread = pooled({spread_for(0, spreads), spread_of(theirs[q])});
    const auto margin = q == kPerplexity ? std::nullopt : std::optional(kMargin[q]);
    family.push_back({ratio_of(ours[q][0], theirs[q], spread), margin});
    if (q == kPerplexity) continue;
    std::vector<Pairs> groups = {{theirs[kPerplexity], theirs[q]}};
    for (int b = 0; b < s.betas; ++b) groups.push_back({ours[kPerplexity][b], ours[q][b]});
    adjusted.push_back({adjusted_ratio(groups[1], groups[0], common_slope(groups)), margin});
  }
  count(family, 0, tally);
  count(adjusted, 1, tally);
  const Ratio& recon = family[kRecon].ratio;
  tally.df += recon.df;
  tally.though_apart += verdict_at(family, kRecon, 1 + kMargin[kRecon]) == kEquivalent;
  judge(family);
  tally.wrongly += std::any_of(family.begin(), family.end(),
                               [](const Comparison& c) { return c.verdict == kDiffers; });
  // "Found at least" is planned with the true spread here.
  double& errors = tally.detectable_errors[recon.df];
  if (errors == 0) errors = std::log1p(Ratio{0, 1, recon.df}.detectable(0.05 / kFigures));
  Ratio shifted = recon;
  shifted.log += errors * std::hypot(kFollows[kRecon], kOwn[kRecon]) *
                 std::sqrt(1.0 / s.seeds + 1.0 / s.theirs);
  tally.found_at_detectable += shifted.p() < 0.05 / kFigures;
}

constexpr Scenario kHolds[] = {{"3 seeds, one β, one run of theirs", 3, 1, 1},
                               {"3 seeds, five β, one run of theirs", 3, 5, 1},
                               {"5 seeds, one β, one run of theirs", 5, 1, 1},
                               {"5 seeds, five β, one run of theirs", 5, 5, 1},
                               {"3 seeds, one β, three runs of theirs", 3, 1, 3},
                               {"5 seeds, five β, three runs of theirs", 5, 5, 3}};
constexpr Scenario kFails[] = {{"this β scatters twice as much as four others", 5, 5, 1, 2},
                               {"this β scatters half as much as four others", 5, 5, 1, 0.5},
                               {"the authors' run scatters 1.5 times as much", 5, 5, 1, 1, 1.5},
                               {"heavy tails (t with 5 degrees of freedom)", 5, 5, 1, 1, 1, true}};

}  // namespace

std::vector<Table> simulate(int64_t repeats) {
  Table coverage{.file = "simulation-coverage", .title = "No difference, and all assumptions hold"};
  coverage.columns = {"runs",
                      "degrees of freedom",
                      "95 % interval covers",
                      "90 %",
                      "adjusted, 95 %",
                      "90 %",
                      "one of three differs, wrongly",
                      "recon equivalent though 10 % apart"};
  Table power{.file = "simulation-power", .title = "What is found"};
  power.notes = {
      "\"Found\": the verdict is differs, where this figure alone is that far off. "
      "Half-widths: mean, of reconstruction and codebook loss."};
  power.columns = {"runs",
                   "equivalent, rightly: recon; codebook",
                   "recon found, 10 %; 20 % off",
                   "codebook found, 20 %; 50 % off",
                   "perplexity found, 20 %; 50 % off",
                   "half-widths",
                   "power at \"found at least\"",
                   "adjusted: equivalent, rightly: recon; codebook",
                   "adjusted: recon found, 10 %; 20 % off",
                   "adjusted: half-widths"};
  Table fails{.file = "simulation-fails", .title = "No difference, but an assumption fails"};
  fails.columns = {"5 seeds, five β, one run of theirs",
                   "95 % interval covers",
                   "90 %",
                   "adjusted, 95 %",
                   "90 %",
                   "one of three differs, wrongly"};
  const auto share = [&](double count) {
    return fmt::format("{:.1f} %", 100 * count / static_cast<double>(repeats));
  };
  const auto two = [&](double a, double b) { return share(a) + "; " + share(b); };
  uint64_t stream = 0;
  const auto tally_of = [&](const Scenario& s) {
    Sampler sampler(++stream, s.heavy_tails);
    Tally tally;
    for (int64_t i = 0; i < repeats; ++i) repeat_once(s, sampler, tally);
    return tally;
  };
  for (const Scenario& s : kHolds) {
    const Tally t = tally_of(s);
    coverage.rows.push_back({s.label, fmt::format("{:.1f}", t.df / static_cast<double>(repeats)),
                             share(t.covered95[0]), share(t.covered90[0]), share(t.covered95[1]),
                             share(t.covered90[1]), share(t.wrongly), share(t.though_apart)});
    const auto widths = [&](int kind) {  // the mean does not exist with one degree of freedom
      const bool has_mean = kind == 0 || s.betas * (s.seeds - 1) + s.theirs - 1 > 2;
      return has_mean ? two(t.half_width[kind][kRecon], t.half_width[kind][kCodebook]) : "–";
    };
    const auto& found = t.differs[0];
    power.rows.push_back(
        {s.label, two(t.equivalent[0][kRecon], t.equivalent[0][kCodebook]),
         two(found[kRecon][0], found[kRecon][1]), two(found[kCodebook][1], found[kCodebook][2]),
         two(found[kPerplexity][1], found[kPerplexity][2]), widths(0), share(t.found_at_detectable),
         two(t.equivalent[1][kRecon], t.equivalent[1][kCodebook]),
         two(t.differs[1][kRecon][0], t.differs[1][kRecon][1]), widths(1)});
  }
  for (const Scenario& s : kFails) {
    const Tally t = tally_of(s);
    fails.rows.push_back({s.label, share(t.covered95[0]), share(t.covered90[0]),
                          share(t.covered95[1]), share(t.covered90[1]), share(t.wrongly)});
  }
  return {coverage, power, fails};
}

}  // namespace versor
