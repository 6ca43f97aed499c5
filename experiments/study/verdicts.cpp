// Verdicts on the paper's tables: see verdicts.h.
#include "experiments/study/verdicts.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

namespace versor {
namespace {

bool is_third_run(const PublishedRun& run) {
  const auto last = static_cast<size_t>(kPaperEpochs - 1);
  const auto rounds_to = [&](const char* metric, double printed) {
    return std::fabs(run.metrics.column(metric)[last] - printed) < 0.5e-4;
  };
  return rounds_to("train_loss", third_run().values[0]) &&
         rounds_to("train_recon_loss", third_run().values[1]);
}

// The cells of one row, for training or testing: a family.
std::vector<Cell> judge_block(const Evidence& evidence, int table, const PaperRow& row,
                              const std::string& label, size_t begin, int64_t epoch) {
  const auto columns = table == 2 ? table2_columns() : table3_columns();
  const Setting setting{row.codes, row.beta};
  std::vector<Cell> cells;
  std::vector<Comparison> family;
  for (size_t i = begin; i < begin + 4; ++i) {
    Cell cell{table, label, columns[i], row.values[i], {}, {}};
    cell.ours = evidence.our_logs(setting, columns[i].metric, epoch);
    if (!cell.ours.empty())
      cell.comparison.ratio = ratio_of(cell.ours, {std::log(cell.paper)},
                                       evidence.spread(setting, columns[i].metric, epoch));
    cell.comparison.margin = margin_of(columns[i].metric);
    if (is_tested(columns[i].metric)) family.push_back(cell.comparison);
    cells.push_back(cell);
  }
  judge(family);
  const bool contradictory = !contradiction(row).empty();
  auto judged = family.begin();
  for (Cell& cell : cells) {
    const bool tested = is_tested(cell.figure.metric);
    if (tested) cell.comparison = *judged++;
    if (contradictory)
      cell.comparison.verdict = kContradictory;
    else if (cell.ours.empty())
      cell.comparison.verdict = kNoRun;
    else if (!tested)
      cell.comparison.verdict = kNotTested;
  }
  return cells;
}

}  // namespace

std::vector<Setting> Evidence::settings() const {
  std::set<Setting> all;
  for (const RecordedRun& run : runs) all.insert({run.codes, run.beta});
  return {all.begin(), all.end()};
}

std::vector<const RecordedRun*> Evidence::ours(const Setting& setting) const {
  std::vector<const RecordedRun*> found;
  for (const RecordedRun& run : runs)
    if (Setting{run.codes, run.beta} == setting) found.push_back(&run);
  return found;
}

std::vector<const PublishedRun*> Evidence::curves(const Setting& setting) const {
  std::vector<const PublishedRun*> found;
  for (const PublishedRun& run : authors)
    if (Setting{run.codes, run.beta} == setting &&
        static_cast<int64_t>(run.metrics.rows.size()) >= kPaperEpochs)
      found.push_back(&run);
  return found;
}

Logs Evidence::our_logs(const Setting& setting, const std::string& metric, int64_t epoch) const {
  Logs logs;
  for (const RecordedRun* run : ours(setting))
    if (epoch <= static_cast<int64_t>(run->metrics.rows.size()))
      logs.push_back(run->logs(metric)[static_cast<size_t>(epoch - 1)]);
  return logs;
}

Logs Evidence::their_logs(const Setting& setting, const std::string& metric, int64_t epoch) const {
  Logs logs;
  bool third = setting == kThreeTimes && epoch == kPaperEpochs;
  for (const PublishedRun* run : curves(setting)) {
    const auto curve = run->metrics.column(metric);
    if (epoch > static_cast<int64_t>(curve.size())) continue;
    logs.push_back(std::log(curve[static_cast<size_t>(epoch - 1)]));
    third = third && !is_third_run(*run);
  }
  for (size_t i = 0; third && i < third_run().values.size(); ++i)
    if (table2_columns()[i].metric == metric) logs.push_back(std::log(third_run().values[i]));
  return logs;
}

Spread Evidence::spread(const Setting& setting, const std::string& metric, int64_t epoch) const {
  std::vector<Spread> spreads = {spread_of(our_logs(setting, metric, epoch))};
  for (const Setting& other : settings())
    if (other.codes == setting.codes && other != setting)
      spreads.push_back(spread_of(our_logs(other, metric, epoch)));
  return spread_for(0, spreads);
}

std::vector<Cell> judge_tables(const Evidence& evidence) {
  std::vector<Cell> all;
  const auto add = [&](std::vector<Cell> cells) {
    all.insert(all.end(), cells.begin(), cells.end());
  };
  for (const PaperRow& row : table3_rows())
    for (size_t begin : {0, 4})
      add(judge_block(evidence, 3, row, fmt::format("β {}", row.label), begin, kPaperEpochs));
  for (PaperRow row : table2_rows()) {
    const std::string label = row.label;
    if (label == "Final Medium") row.codes = 1024;  // the run that it is (errata.h)
    add(judge_block(evidence, 2, row, label, 0, label == "Initial" ? 1 : kPaperEpochs));
  }
  return all;
}

Summary summary_of(const Logs& logs) {
  std::vector<double> values;
  for (double log : logs) values.push_back(std::exp(log));
  return summarize(values);
}

std::string ratio_text(const Ratio& ratio) {
  if (ratio.df == 0) return fmt::format("{:.3f}", ratio.value());
  const Interval interval = ratio.interval(0.95);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", ratio.value(), interval.low, interval.high);
}

std::string percent(double share) {
  if (std::isnan(share)) return "–";
  return share < 1 ? fmt::format("{:.0f} %", 100 * share)
                   : fmt::format("× {:.{}f}", 1 + share, share < 9 ? 1 : 0);
}

std::string p_text(double p) {
  return std::isnan(p) ? "–" : fmt::format("{:.3f}", p);
}

double detectable(const Comparison& comparison, size_t family) {
  return comparison.ratio.detectable(0.05 / static_cast<double>(family));
}

void add_results(Table& table, std::vector<std::vector<std::string>> rows,
                 std::vector<Comparison> family) {
  judge(family);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Comparison& c = family[i];
    const Interval narrow = c.ratio.interval(0.90);
    rows[i].insert(rows[i].end(),
                   {ratio_text(c.ratio),
                    c.ratio.df > 0 ? fmt::format("[{:.3f}, {:.3f}]", narrow.low, narrow.high) : "–",
                    percent(c.ratio.half_width()), percent(detectable(c, family.size())),
                    p_text(c.adjusted), c.verdict});
    table.rows.push_back(rows[i]);
  }
}

void add_result_columns(Table& table) {
  table.columns.insert(table.columns.end(),
                       {"ratio", "90 % interval", "half-width", "found at least", "p", "verdict"});
}

Table verdict_table(const std::vector<Cell>& cells, int table) {
  Table out;
  out.file = fmt::format("verdicts-table{}", table);
  out.title = fmt::format("Verdicts on table {}", table);
  out.columns = {table == 2 ? "model" : "beta"};
  for (const MetricColumn& c : table == 2 ? table2_columns() : table3_columns())
    out.columns.push_back(c.title);
  for (const Cell& cell : cells) {
    if (cell.table != table) continue;
    if (out.rows.empty() || out.rows.back().front() != cell.row) out.rows.push_back({cell.row});
    out.rows.back().push_back(cell.comparison.verdict);
  }
  return out;
}

Table detail_table(const std::vector<Cell>& cells) {
  Table out;
  out.file = "verdicts";
  out.title = "Each figure of the tables that we have runs for";
  out.notes = {
      "Ours: mean ± standard deviation over the seeds. Ratio: of our recipe's geometric mean to "
      "the paper's, with its 95 % interval. Half-width: of that interval, upwards.",
      "Found at least: the smallest difference that would be found in 80 % of cases, even at the "
      "strictest step of Holm's adjustment. p: adjusted over the three figures of a row, for "
      "training and testing separately."};
  out.columns = {"table", "row", "figure", "paper", "ours", "seeds"};
  add_result_columns(out);
  for (size_t i = 0; i < cells.size(); i += 4) {  // a total, then the three of a family
    if (cells[i].ours.empty() || cells[i].comparison.verdict == kContradictory) continue;
    std::vector<std::vector<std::string>> rows;
    std::vector<Comparison> family;
    for (size_t j = i + 1; j < i + 4; ++j) {
      const Cell& cell = cells[j];
      const int decimals = cell.figure.decimals;
      rows.push_back({std::to_string(cell.table), cell.row, cell.figure.title,
                      fmt::format("{:.{}f}", cell.paper, decimals),
                      to_text(summary_of(cell.ours), decimals), std::to_string(cell.ours.size())});
      family.push_back(cell.comparison);
    }
    add_results(out, rows, family);
  }
  return out;
}

Table spread_table(const Evidence& evidence) {
  Table out;
  out.file = "verdicts-spread";
  out.title = "The spread between our seeds";
  out.notes = {fmt::format(
      "Standard deviations of the logs after {} epochs (0.1: a factor of about 1.1), pooled over "
      "beta unless Bartlett's test finds them unequal (p below {}).",
      kPaperEpochs, kUnequal)};
  out.columns = {"K", "figure", "each beta", "pooled", "degrees of freedom", "Bartlett's p"};
  std::set<int64_t> sizes;
  for (const Setting& setting : evidence.settings()) sizes.insert(setting.codes);
  for (int64_t codes : sizes)
    for (const MetricColumn& c : table3_columns()) {
      if (!is_tested(c.metric)) continue;
      std::vector<Spread> spreads;
      std::string each;
      for (const Setting& setting : evidence.settings()) {
        if (setting.codes != codes) continue;
        spreads.push_back(spread_of(evidence.our_logs(setting, c.metric)));
        each += fmt::format("{}β {:g}: {}", each.empty() ? "" : ", ", setting.beta,
                            spreads.back().df > 0 ? fmt::format("{:.3f}", spreads.back().deviation)
                                                  : std::string("one seed"));
      }
      const Spread all = pooled(spreads);
      const double p = homogeneity(spreads);
      out.rows.push_back({std::to_string(codes), c.title, each,
                          all.df > 0 ? fmt::format("{:.3f}", all.deviation) : "–",
                          std::to_string(all.df), std::isnan(p) ? "–" : fmt::format("{:.2f}", p)});
    }
  return out;
}

}  // namespace versor
