// Comparison with the paper: see comparison.h.
#include "experiments/study/comparison.h"

#include <fmt/format.h>

#include <map>

namespace versor {
namespace {

std::vector<std::string> ours(const ComparedRow& row, const Series& series,
                              std::span<const MetricColumn> columns) {
  std::vector<std::string> cells{row.label, "ours, " + series.preset};
  for (const MetricColumn& c : columns)
    cells.push_back(to_text(series.at(c.metric, row.epoch), c.decimals));
  return cells;
}

std::vector<std::string> paper(const ComparedRow& row, std::span<const MetricColumn> columns) {
  std::vector<std::string> cells{row.label, "paper"};
  for (size_t i = 0; i < columns.size(); ++i)
    cells.push_back(fmt::format("{:.{}f}", row.paper->values[i], columns[i].decimals));
  return cells;
}

std::vector<std::string> verdicts(const ComparedRow& row, const Series& series,
                                  std::span<const MetricColumn> columns) {
  std::vector<std::string> cells{row.label, "verdict"};
  const bool contradictory = !contradiction(*row.paper).empty();
  for (size_t i = 0; i < columns.size(); ++i)
    cells.push_back(contradictory
                        ? "self-contradictory"
                        : verdict(series.at(columns[i].metric, row.epoch), row.paper->values[i]));
  return cells;
}

}  // namespace

Table comparison_table(Section& section, const std::string& key,
                       std::span<const MetricColumn> columns, const std::vector<ComparedRow>& rows,
                       bool compare) {
  Table table;
  table.file = section.name;
  table.title = compare ? "Ours beside the paper's" : "Ours, scaled down";
  table.columns = {key, "source"};
  for (const MetricColumn& c : columns) table.columns.push_back(c.title);
  for (const ComparedRow& row : rows) {
    if (compare && row.paper) table.rows.push_back(paper(row, columns));
    for (const Series* series : row.ours) {
      table.rows.push_back(ours(row, *series, columns));
      if (!compare || !row.paper || series->preset != "published") continue;
      table.rows.push_back(verdicts(row, *series, columns));
      for (size_t i = 2; i < table.rows.back().size(); ++i)
        ++section.verdicts[table.rows.back()[i]];
    }
  }
  return table;
}

void add_findings(Section& section, const Table& table) {
  std::map<std::string, std::string> cells;  // verdict -> "beta 0.1: Total Loss, ..."
  for (const auto& row : table.rows) {
    if (row[1] != "verdict") continue;
    std::map<std::string, std::string> of_row;
    for (size_t i = 2; i < row.size(); ++i)
      of_row[row[i]] += (of_row[row[i]].empty() ? "" : ", ") + table.columns[i];
    for (const auto& [verdict, names] : of_row)
      cells[verdict] += fmt::format("{}{} {} ({})", cells[verdict].empty() ? "" : "; ",
                                    table.columns[0], row[0], names);
  }
  for (const auto& [verdict, names] : cells)
    section.findings.push_back(fmt::format("{}: {} cells {}: {}", section.title,
                                           section.verdicts[verdict], verdict, names));
}

}  // namespace versor
