// Comparison with the paper: see comparison.h.
#include "experiments/study/comparison.h"

#include <fmt/format.h>

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

}  // namespace

Table comparison_table(const std::string& file, const std::string& key,
                       std::span<const MetricColumn> columns, const std::vector<ComparedRow>& rows,
                       bool compare) {
  Table table;
  table.file = file;
  table.title = compare ? "Ours beside the paper's" : "Ours, scaled down";
  if (compare) table.notes = {"What ours show about the paper's figures: section Verdicts."};
  table.columns = {key, "source"};
  for (const MetricColumn& c : columns) table.columns.push_back(c.title);
  for (const ComparedRow& row : rows) {
    if (compare && row.paper) table.rows.push_back(paper(row, columns));
    for (const Series* series : row.ours) table.rows.push_back(ours(row, *series, columns));
  }
  return table;
}

}  // namespace versor
