// Analyses of all runs: see verdict_analyses.h.
#include "experiments/study/verdict_analyses.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>

#include "experiments/report/distributions.h"
#include "experiments/report/section.h"

namespace versor {
namespace {

// Reconstruction loss, codebook loss and perplexity, of "train", "test" or, with "t", of both.
std::vector<MetricColumn> tested_columns(const char* pass) {
  std::vector<MetricColumn> all;
  for (const MetricColumn& c : table3_columns())
    if (is_tested(c.metric) && std::string(c.metric).starts_with(pass)) all.push_back(c);
  return all;
}

std::string name_of_setting(const Setting& s) {
  return s.codes == kThreeTimes.codes ? fmt::format("β {:g}", s.beta)
                                      : fmt::format("β {:g}, K {}", s.beta, s.codes);
}

// Settings that we and the authors have, with at least so many runs of theirs.
std::vector<Setting> common_settings(const Evidence& evidence, size_t theirs) {
  std::vector<Setting> all;
  for (const Setting& s : evidence.settings())
    if (evidence.curves(s).size() >= theirs) all.push_back(s);
  return all;
}

// A column of the authors' curves of one setting, as whole curves of logs.
std::vector<Logs> their_curves(const Evidence& evidence, const Setting& setting,
                               const std::string& metric) {
  std::vector<Logs> all;
  for (const PublishedRun* run : evidence.curves(setting)) {
    all.push_back(run->metrics.column(metric));
    for (double& value : all.back()) value = std::log(value);
  }
  return all;
}

std::vector<Logs> our_curves(const Evidence& evidence, const Setting& setting,
                             const std::string& metric) {
  std::vector<Logs> all;
  for (const RecordedRun* run : evidence.ours(setting)) all.push_back(run->logs(metric));
  return all;
}

// Several columns of 50 epochs behind each other.
std::vector<Logs> joined(const std::vector<std::vector<Logs>>& columns) {
  std::vector<Logs> all(columns.front().size());
  for (const auto& curves : columns)
    for (size_t c = 0; c < curves.size(); ++c)
      all[c].insert(all[c].end(), curves[c].begin(), curves[c].begin() + kPaperEpochs);
  return all;
}

std::vector<Logs> points(const Logs& logs) {
  std::vector<Logs> all;
  for (double log : logs) all.push_back({log});
  return all;
}

// "3 of 50": epochs of a curve outside the prediction band, of those that both have.
std::string outside(const Evidence& evidence, const Setting& setting, const std::string& metric,
                    const Logs& theirs) {
  size_t out = 0, epochs = 0;
  for (; epochs < theirs.size(); ++epochs) {
    const auto epoch = static_cast<int64_t>(epochs + 1);
    const Logs ours = evidence.our_logs(setting, metric, epoch);
    const Spread spread = evidence.spread(setting, metric, epoch);
    if (ours.empty() || spread.df == 0) break;
    out += ratio_of(ours, {theirs[epochs]}, spread).p() < 0.05;
  }
  return epochs > 0 ? fmt::format("{} of {}", out, epochs) : "–";
}

// Epochs after which the authors' runs are compared beyond the tables: 50 where they have several
// runs, or one that the tables lack, and the end of longer ones.
std::set<int64_t> compared_epochs(const Evidence& evidence, const Setting& setting) {
  std::set<int64_t> epochs;
  const auto curves = evidence.curves(setting);
  if (curves.size() > 1 || setting.codes != kThreeTimes.codes) epochs.insert(kPaperEpochs);
  for (const PublishedRun* run : curves)
    if (const auto end = static_cast<int64_t>(run->metrics.rows.size());
        end > kPaperEpochs && !evidence.our_logs(setting, "test_loss", end).empty())
      epochs.insert(end);
  return epochs;
}

// Adds the rows of a setting after `epoch` epochs: two samples for each tested figure.
void add_two_samples(Table& table, const Evidence& evidence, const Setting& setting,
                     int64_t epoch) {
  for (const char* pass : {"train", "test"}) {
    std::vector<Comparison> family;
    std::vector<std::vector<std::string>> rows;
    for (const MetricColumn& c : tested_columns(pass)) {
      const Logs ours = evidence.our_logs(setting, c.metric, epoch);
      const Logs theirs = evidence.their_logs(setting, c.metric, epoch);
      const std::vector<Spread> both = {evidence.spread(setting, c.metric, epoch),
                                        spread_of(theirs)};
      family.push_back({ratio_of(ours, theirs, pooled(both)), margin_of(c.metric)});
      std::string each;
      for (double log : theirs)
        each += fmt::format("{}{:.{}f}", each.empty() ? "" : ", ", std::exp(log), c.decimals);
      rows.push_back({name_of_setting(setting), std::to_string(epoch), c.title, each,
                      to_text(summary_of(ours), c.decimals), std::to_string(ours.size()),
                      p_text(homogeneity(both))});
    }
    add_results(table, rows, family);
  }
}

Table two_samples(const char* file, const char* title, const char* note) {
  Table table;
  table.file = file;
  table.title = title;
  table.notes = {note};
  table.columns = {"setting", "epochs", "figure",      "the authors' runs",
                   "ours",    "seeds",  "equal spread"};
  add_result_columns(table);
  return table;
}

}  // namespace

Table all_runs_table(const Evidence& evidence) {
  Table table = two_samples(
      "verdicts-all-runs", "All of the authors' runs against ours",
      "Two samples with one spread, that of our seeds pooled with theirs. Equal spread: Bartlett's "
      "p for the two. The authors' third run has only training figures.");
  for (const Setting& setting : common_settings(evidence, 1))
    for (int64_t epoch : compared_epochs(evidence, setting))
      add_two_samples(table, evidence, setting, epoch);
  return table;
}

Table cut_off_table(const Evidence& evidence, const std::vector<RecordedRun>& cut_off) {
  Table table = two_samples(
      "verdicts-cut-off", "Runs that were cut off, where they stopped",
      "Not a test of the paper's figures, which are of 50 epochs: the runs of a setting, those cut "
      "off included, after the last epoch that all of them reached, against the authors' curves "
      "after the same epoch.");
  Evidence both = evidence;
  std::map<Setting, int64_t> reached;
  for (const RecordedRun& run : cut_off) {
    const auto epochs = static_cast<int64_t>(run.metrics.rows.size());
    const auto at = reached.try_emplace({run.codes, run.beta}, epochs).first;
    at->second = std::min(at->second, epochs);
    both.runs.push_back(run);
  }
  for (const auto& [setting, epoch] : reached)
    if (!both.curves(setting).empty()) add_two_samples(table, both, setting, epoch);
  return table;
}

Table permutation_table(const Evidence& evidence) {
  Table table;
  table.file = "verdicts-permutation";
  table.title = "Permutation tests of the authors' runs against ours";
  table.notes = {
      "Exact, over all ways to divide the runs into two groups of these sizes; no assumption but "
      "that the runs are exchangeable if the recipes are the same. The smallest possible p says "
      "what such a test could have found."};
  table.columns = {"setting", "runs, ours and theirs", "compared", "p", "smallest possible p"};
  for (const Setting& setting : common_settings(evidence, 2)) {
    const auto add = [&](const std::string& what, const std::vector<Logs>& ours,
                         const std::vector<Logs>& theirs) {
      const Permutation test = permutation_test(ours, theirs);
      table.rows.push_back({name_of_setting(setting),
                            fmt::format("{} and {}", ours.size(), theirs.size()), what,
                            p_text(test.p), p_text(test.smallest)});
    };
    std::vector<std::vector<Logs>> all_ours, all_theirs;
    for (const MetricColumn& c : tested_columns("t")) {
      all_ours.push_back(our_curves(evidence, setting, c.metric));
      all_theirs.push_back(their_curves(evidence, setting, c.metric));
      add(fmt::format("{}, 50 epochs", c.title), joined({all_ours.back()}),
          joined({all_theirs.back()}));
    }
    add("all six curves together", joined(all_ours), joined(all_theirs));
    for (const MetricColumn& c : tested_columns("train"))
      add(fmt::format("{}, last epoch", c.title), points(evidence.our_logs(setting, c.metric)),
          points(evidence.their_logs(setting, c.metric)));
  }
  return table;
}

Table adjusted_table(const Evidence& evidence) {
  Table table;
  table.file = "verdicts-adjusted";
  table.title = "Losses at equal use of codes";
  table.notes = {
      "Analysis of covariance on log perplexity, with one slope for all settings, from "
      "our runs and theirs. Perplexity is an outcome of the runs too: this compares the losses "
      "of runs that use as many codes, and says nothing about how many they use.",
      "Found after looking at β 0.25; fixed beforehand for the other β. Holm's adjustment over the "
      "two losses of a row."};
  table.columns = {"setting", "status", "figure", "runs, ours and theirs", "slope", "unadjusted"};
  add_result_columns(table);
  for (const Setting& setting : common_settings(evidence, 1))
    for (const char* pass : {"train", "test"}) {
      const std::vector<MetricColumn> columns = tested_columns(pass);
      const std::string perplexity = columns.back().metric;
      const auto ours_of = [&](const Setting& s, const MetricColumn& c) {
        return Pairs{evidence.our_logs(s, perplexity), evidence.our_logs(s, c.metric)};
      };
      const auto theirs_of = [&](const Setting& s, const MetricColumn& c) {
        return Pairs{evidence.their_logs(s, perplexity), evidence.their_logs(s, c.metric)};
      };
      std::vector<Comparison> family;
      std::vector<std::vector<std::string>> rows;
      for (const MetricColumn& c : {columns[0], columns[1]}) {
        const Pairs ours = ours_of(setting, c), theirs = theirs_of(setting, c);
        std::vector<Pairs> groups;
        for (const Setting& other : evidence.settings())
          if (other.codes == setting.codes)
            for (const Pairs& pairs : {ours_of(other, c), theirs_of(other, c)})
              groups.push_back(pairs);
        const CommonSlope line = common_slope(groups);
        const Spread plain = pooled({evidence.spread(setting, c.metric), spread_of(theirs.y)});
        family.push_back({adjusted_ratio(ours, theirs, line), margin_of(c.metric)});
        rows.push_back({name_of_setting(setting),
                        setting == kThreeTimes ? "found after looking" : "fixed beforehand",
                        c.title, fmt::format("{} and {}", ours.x.size(), theirs.x.size()),
                        fmt::format("{:+.3f}", line.slope),
                        ratio_text(ratio_of(ours.y, theirs.y, plain))});
      }
      add_results(table, rows, family);
    }
  return table;
}

Table slope_table(const Evidence& evidence) {
  Table table;
  table.file = "verdicts-slopes";
  table.title = "The effect of beta: slope of each figure's log on log beta";
  table.notes = {
      "-1: doubling beta halves the figure. The slope of the best line through the means of each "
      "beta; its interval comes from the spread between seeds, so that the means need not lie on a "
      "line. The authors' runs are taken to scatter like ours."};
  table.columns = {"figure", "betas", "theirs", "ours", "difference", "p"};
  std::vector<double> shared, all;
  for (const PaperRow& row : table3_rows()) {
    if (evidence.curves({row.codes, row.beta}).empty()) continue;
    all.push_back(row.beta);
    if (!evidence.ours({row.codes, row.beta}).empty()) shared.push_back(row.beta);
  }
  const bool both = shared.size() >= 3;
  const std::vector<double>& betas = both ? shared : all;
  if (betas.size() < 3) return table;
  for (const MetricColumn& c : tested_columns("t")) {
    std::vector<double> x;
    std::vector<Logs> ours, theirs;
    std::vector<Spread> spreads;
    for (double beta : betas) {
      x.push_back(std::log(beta));
      theirs.push_back(evidence.their_logs({kThreeTimes.codes, beta}, c.metric));
      ours.push_back(evidence.our_logs({kThreeTimes.codes, beta}, c.metric));
      spreads.push_back(spread_of(ours.back()));
    }
    const Spread spread = pooled(spreads);
    const double t = spread.df > 0 ? t_quantile(0.975, spread.df) : NAN;
    const auto text = [&](const Slope& slope) {
      return spread.df > 0 ? fmt::format("{:+.3f} ± {:.3f}", slope.value, t * slope.error)
                           : fmt::format("{:+.3f}", slope.value);
    };
    const Slope of_theirs = slope_of_means(x, theirs, spread);
    std::vector<std::string> row = {
        c.title, fmt::format("{:g}", fmt::join(betas, ", ")), text(of_theirs), "no runs", "–", "–"};
    if (both) {
      const Slope of_ours = slope_of_means(x, ours, spread);
      const Slope difference = {of_ours.value - of_theirs.value,
                                std::hypot(of_ours.error, of_theirs.error)};
      row[3] = text(of_ours);
      row[4] = text(difference);
      row[5] = p_text(Ratio{difference.value, difference.error, spread.df}.p());
    }
    table.rows.push_back(row);
  }
  return table;
}

Table curve_table(const Evidence& evidence) {
  Table table;
  table.file = "verdicts-curves";
  table.title = "Epochs of the authors' curves outside the band of our seeds";
  table.notes = {
      "The band holds a further seed of ours in 95 % of cases, epoch by epoch, so about one epoch "
      "in twenty lies outside where the recipes are the same. Neighbouring epochs are nearly the "
      "same measurement: the counts are a description, not a test."};
  table.columns = {"setting", "the authors' run", "our seeds"};
  for (const MetricColumn& c : tested_columns("t")) table.columns.push_back(c.title);
  for (const Setting& setting : common_settings(evidence, 1))
    for (size_t i = 0; i < evidence.curves(setting).size(); ++i) {
      std::vector<std::string> row = {name_of_setting(setting), evidence.curves(setting)[i]->file,
                                      std::to_string(evidence.ours(setting).size())};
      for (const MetricColumn& c : tested_columns("t"))
        row.push_back(
            outside(evidence, setting, c.metric, their_curves(evidence, setting, c.metric)[i]));
      table.rows.push_back(row);
    }
  return table;
}

void add_band_plots(const Evidence& evidence, const std::string& results, Section& section) {
  for (const Setting& setting : common_settings(evidence, 1))
    for (const MetricColumn& c : tested_columns("test")) {
      std::vector<double> middle, low, high;
      for (int64_t e = 1; e <= kPaperEpochs; ++e) {
        const Spread spread = evidence.spread(setting, c.metric, e);
        if (spread.df == 0) break;
        const Ratio ratio = ratio_of(evidence.our_logs(setting, c.metric, e), {0}, spread);
        middle.push_back(ratio.value());
        low.push_back(ratio.interval(0.95).low);
        high.push_back(ratio.interval(0.95).high);
      }
      if (middle.empty()) continue;
      Plot plot;
      plot.file = fmt::format("verdicts-{}-k{}-beta{:g}", c.metric, setting.codes, setting.beta);
      plot.title = fmt::format("{}, {}", c.title, name_of_setting(setting));
      plot.y_label = c.title;
      plot.log_y = true;
      plot.curves = {epoch_curve("ours, geometric mean, 95 % band", middle, 0)};
      plot.curves.front().low = low;
      plot.curves.front().high = high;
      const auto theirs = evidence.curves(setting);
      for (size_t i = 0; i < theirs.size(); ++i)
        plot.curves.push_back(epoch_curve(theirs[i]->file, theirs[i]->metrics.column(c.metric),
                                          static_cast<int>(i) + 1));
      add_plot(section, results, plot,
               fmt::format("{}, {}: the band that holds a further seed of ours in 95 % of cases, "
                           "epoch by epoch, and the authors' curves.",
                           c.title, name_of_setting(setting)));
    }
}

}  // namespace versor
