// README's results: see readme_results.h.
#include "experiments/study/readme_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "experiments/study/verdict_analyses.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

std::string line_of(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

// The lines of one beta, whose cells are two families.
std::string rows_of(const std::string& row, const std::vector<const Cell*>& cells) {
  std::vector<std::string> paper = {row, "paper"}, ours = {row, ""}, ratio = {row, "ratio"},
                           found = {row, "could have found"}, verdicts = {row, "verdict"};
  for (const Cell* cell : cells) {
    const int decimals = cell->paper > 1 ? 0 : cell->figure.decimals;
    paper.push_back(fmt::format("{:.{}f}", cell->paper, decimals));
    ours.push_back(to_text(summary_of(cell->ours), decimals));
    ours[1] = fmt::format("ours, {} seed{}", cell->ours.size(), cell->ours.size() > 1 ? "s" : "");
    const Ratio& r = cell->comparison.ratio;
    const Interval interval = r.interval(0.95);
    ratio.push_back(
        r.df == 0 ? fmt::format("{:.2f}", r.value())
                  : fmt::format("{:.2f} [{:.2f}, {:.2f}]", r.value(), interval.low, interval.high));
    found.push_back(percent(detectable(cell->comparison, cells.size() / 2)));
    verdicts.push_back(cell->comparison.verdict);
  }
  return line_of(paper) + line_of(ours) + line_of(ratio) + line_of(found) + line_of(verdicts);
}

}  // namespace

std::string summary_of_runs(const std::vector<RecordedRun>& runs) {
  std::set<std::string> hardware;
  for (const RecordedRun& run : runs)
    hardware.insert(fmt::format("{} in {}", run.hardware, run.precision));
  return fmt::format(
      "{} runs of at least {} epochs with the published choices and the paper's sizes{}{}",
      runs.size(), kPaperEpochs, runs.empty() ? "" : ", on ", fmt::join(hardware, "; "));
}

std::string summary_of_verdicts(const std::vector<Cell>& cells) {
  std::map<std::string, int> count;
  for (const Cell& cell : cells) ++count[cell.comparison.verdict];
  std::string text;
  const std::pair<const char*, const char*> words[] = {
      {kEquivalent, "equivalent to ours"},
      {kCompatible, "compatible with ours, too wide to say more"},
      {kDiffers, "different from ours"},
      {kContradictory, "in rows that contradict themselves"},
      {kNotTested, "totals, sums of two others and not tested"},
      {kTooFew, "beside too few runs"},
      {kNoRun, "without a run"}};
  for (const auto& [verdict, meaning] : words)
    if (count[verdict] > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : "; ", count[verdict], meaning);
  std::vector<double> p;
  for (const Cell& cell : cells)
    if (is_tested(cell.figure.metric) && cell.comparison.verdict != kContradictory)
      p.push_back(cell.comparison.ratio.p());
  const auto adjusted = holm(p);
  return fmt::format(
      "Of the {} figures of tables 2 and 3: {}. With one adjustment for all of them, {} differ.",
      cells.size(), text,
      std::count_if(adjusted.begin(), adjusted.end(), [](double q) { return q < 0.05; }));
}

// "At equal use of codes ...": what the analysis of covariance shows, in one sentence.
std::string summary_of_adjusted(const Evidence& evidence) {
  const Table table = adjusted_table(evidence);
  std::map<std::string, int> count;
  for (const auto& row : table.rows) ++count[row.back()];
  if (count.empty()) return "";
  return fmt::format(
      "Most of the spread between seeds is in how many codes a run uses. Compared at equal\n"
      "perplexity (fixed beforehand for all β but 0.25), {} of {} losses are equivalent and {} "
      "differ.\n",
      count[kEquivalent], table.rows.size(), count[kDiffers]);
}

std::string readme_results(const Evidence& evidence) {
  const std::vector<Cell> cells = judge_tables(evidence);
  std::string text = fmt::format(
      "<!-- made by make readme-tables; do not edit -->\n"
      "{}.\n{}\n{}"
      "For each figure: ours, mean ± standard deviation; the ratio of ours to the paper's with "
      "its\n"
      "95 % interval; the smallest difference that would have been found in 80 % of cases; the\n"
      "verdict (`experiments/STATISTICS.md`).\n\n",
      summary_of_runs(evidence.runs), summary_of_verdicts(cells), summary_of_adjusted(evidence));
  std::vector<std::string> heading = {"50 epochs, `--preset published`", ""};
  for (const MetricColumn& c : table3_columns())
    if (is_tested(c.metric)) heading.push_back(c.title);
  text += line_of(heading) + "|";
  for (size_t i = 0; i < heading.size(); ++i) text += "---|";
  text += "\n";
  for (size_t i = 0; i < cells.size() && cells[i].table == 3;) {
    std::vector<const Cell*> row;
    const std::string name = cells[i].row;
    for (; i < cells.size() && cells[i].row == name; ++i)
      if (is_tested(cells[i].figure.metric) && !cells[i].ours.empty()) row.push_back(&cells[i]);
    if (!row.empty()) text += rows_of(name, row);
  }
  return text;
}

void write_results_into(const std::string& path, const Evidence& evidence) {
  const std::string text = read_file(path);
  const size_t begin = text.find(kBegin), end = text.find(kEnd);
  check(begin != std::string::npos && end != std::string::npos && begin < end, "verdicts", path,
        " has no lines \"", kBegin, "\" and \"", kEnd, "\" in this order");
  write_file(path,
             text.substr(0, begin) + kBegin + "\n" + readme_results(evidence) + text.substr(end));
}

}  // namespace versor
