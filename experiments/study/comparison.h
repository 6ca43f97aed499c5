// Compares a table of the paper with our runs: for every row the paper's figures, ours for each
// preset, and a verdict (statistics.h).
#pragma once

#include "experiments/study/experiment.h"
#include "experiments/study/paper.h"

namespace versor {

// One row of the paper and our runs for it.
struct ComparedRow {
  std::string label;
  const PaperRow* paper;            // null: the paper has no such row
  std::vector<const Series*> ours;  // one per preset
  int64_t epoch = 0;                // of ours; 0: the last
};

// Verdicts are given only for the preset `published`, the paper's own recipe, and only if `compare`
// says that the runs have the paper's size; otherwise only our figures are shown. Counts the
// verdicts in the section. A row of the paper that contradicts itself is always
// "self-contradictory".
Table comparison_table(Section& section, const std::string& key,
                       std::span<const MetricColumn> columns, const std::vector<ComparedRow>& rows,
                       bool compare);

// Adds sentences for the head of the report: which cells have which verdict.
void add_findings(Section& section, const Table& table);

}  // namespace versor
