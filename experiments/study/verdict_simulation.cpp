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

// Shares of the repeats, and means over them, by name.
using Tally = std::map<std::string, double>;

constexpr const char *kDf = "degrees of freedom", *kCovers95 = "95 % interval covers",
                     *kCovers90 = "90 % interval covers",
                     *kWrongly = "one of three differs, wrongly",
                     *kThoughApart = "recon equivalent, 10 % apart",
                     *kPower = "power at \"found at least\"";
constexpr const char *kAdjusted = "adjusted: ", *kNames[] = {"recon", "codebook", "perplexity"};

// The verdict on figure `at` if ours is `shift` times the paper's there and equal elsewhere.
std::string verdict_at(std::vector<Comparison> family, size_t at, double shift) {
  family[at].ratio.log += std::log(shift);
  judge(family);
  return family[at].verdict;
}

// The true ratios are 1.
void count(const std::vector<Comparison>& family, const std::string& kind, Tally& tally) {
  const auto share = 1 / static_cast<double>(family.size());
  for (size_t q = 0; q < family.size(); ++q) {
    const std::string name = kind + kNames[q];
    const auto holds_one = [&](double confidence) {
      const Interval interval = family[q].ratio.interval(confidence);
      return interval.low <= 1 && 1 <= interval.high;
    };
    tally[kind + kCovers95] += share * holds_one(0.95);
    tally[kind + kCovers90] += share * holds_one(0.90);
    tally[name + " equivalent, rightly"] += verdict_at(family, q, 1) == kEquivalent;
    tally[name + ", half-width"] += family[q].ratio.half_width();
    for (int percent : {10, 20, 50})
      tally[fmt::format("{} {} % off: differs", name, percent)] +=
          verdict_at(family, q, 1 + 0.01 * percent) == kDiffers;
  }
}

void repeat_once(const Scenario& s, Sampler& sampler, std::map<int, double>& detectable,
                 Tally& tally) {
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
  count(family, "", tally);
  count(adjusted, kAdjusted, tally);
  judge(family);
  tally[kWrongly] += std::any_of(family.begin(), family.end(),
                                 [](const Comparison& c) { return c.verdict == kDiffers; });
  tally[kThoughApart] += verdict_at(family, kRecon, 1 + kMargin[kRecon]) == kEquivalent;
  Ratio recon = family[kRecon].ratio;
  tally[kDf] += recon.df;
  // "Found at least" is planned with the true spread here; in errors, once for each df.
  double& errors = detectable[recon.df];
  if (errors == 0) errors = std::log1p(Ratio{0, 1, recon.df}.detectable(0.05 / kFigures));
  recon.log += errors * std::hypot(kFollows[kRecon], kOwn[kRecon]) *
               std::sqrt(1.0 / s.seeds + 1.0 / s.theirs);
  tally[kPower] += recon.p() < 0.05 / kFigures;
}

const std::vector<Scenario> kHolds = {{"3 seeds, one β, one run of theirs", 3, 1, 1},
                                      {"3 seeds, five β, one run of theirs", 3, 5, 1},
                                      {"5 seeds, one β, one run of theirs", 5, 1, 1},
                                      {"5 seeds, five β, one run of theirs", 5, 5, 1},
                                      {"3 seeds, one β, three runs of theirs", 3, 1, 3},
                                      {"5 seeds, five β, three runs of theirs", 5, 5, 3}};
const std::vector<Scenario> kFails = {
    {"this β scatters twice as much as four others", 5, 5, 1, 2},
    {"this β scatters half as much as four others", 5, 5, 1, 0.5},
    {"the authors' run scatters 1.5 times as much", 5, 5, 1, 1, 1.5},
    {"heavy tails (t with 5 degrees of freedom)", 5, 5, 1, 1, 1, true}};

// A column for each scenario, and a row for each of these measures.
void fill(Table& table, const std::vector<Scenario>& scenarios, const std::vector<Tally>& tallies,
          const std::vector<std::string>& measures) {
  table.columns = {""};
  for (const Scenario& s : scenarios) table.columns.push_back(s.label);
  for (const std::string& measure : measures) {
    table.rows.push_back({measure});
    for (const Tally& tally : tallies) {
      const double value = tally.at(measure);
      const bool exists = !measure.ends_with("half-width") || value < 10;  // the mean of them all
      table.rows.back().push_back(measure == kDf ? fmt::format("{:.1f}", value)
                                  : exists       ? fmt::format("{:.1f} %", 100 * value)
                                                 : "–");
    }
  }
}

}  // namespace

std::vector<Table> simulate(int64_t repeats) {
  uint64_t stream = 0;
  std::map<int, double> detectable;
  const auto tallies_of = [&](const std::vector<Scenario>& scenarios) {
    std::vector<Tally> tallies;
    for (const Scenario& s : scenarios) {
      Sampler sampler(++stream, s.heavy_tails);
      tallies.emplace_back();
      for (int64_t i = 0; i < repeats; ++i) repeat_once(s, sampler, detectable, tallies.back());
      for (auto& [measure, sum] : tallies.back()) sum /= static_cast<double>(repeats);
    }
    return tallies;
  };
  const std::string adjusted = kAdjusted;
  const std::vector<std::string> covers = {kCovers95, kCovers90, adjusted + kCovers95,
                                           adjusted + kCovers90, kWrongly};
  std::vector<std::string> finds = {kDf, kPower, kThoughApart};
  for (const std::string& kind : {std::string(), adjusted})
    for (int q = 0; q < (kind.empty() ? kFigures : kPerplexity); ++q)
      for (const char* what : {" equivalent, rightly", " 10 % off: differs", " 20 % off: differs",
                               " 50 % off: differs", ", half-width"})
        if (q != kPerplexity || what != std::string(" equivalent, rightly"))
          finds.push_back(kind + kNames[q] + what);
  Table coverage{.file = "simulation-coverage", .title = "No difference, and all assumptions hold"};
  Table power{.file = "simulation-power", .title = "What is found"};
  power.notes = {
      "\"10 % off\": this figure alone; within its margin the verdict may also be equivalent. "
      "Half-widths are means, if these exist."};
  Table fails{.file = "simulation-fails", .title = "No difference, but an assumption fails"};
  fails.notes = {"5 seeds, five β, one run of theirs."};
  const std::vector<Tally> held = tallies_of(kHolds);
  fill(coverage, kHolds, held, covers);
  fill(power, kHolds, held, finds);
  fill(fails, kFails, tallies_of(kFails), covers);
  return {coverage, power, fails};
}

}  // namespace versor
