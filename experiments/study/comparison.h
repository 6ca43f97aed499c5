// Ours beside the paper's: for every row of a table of the paper its figures, ours of each preset,
// and what our seeds say of the paper's figure (statistics.h).
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

// A verdict stands only under the preset `published`, the paper's own recipe, and only where
// `compare` says that the runs have the paper's size; else there are our figures alone. Counts the
// verdicts in the section; a row that contradicts itself is "self-contradictory" whatever ours are.
Table comparison_table(Section& section, const std::string& key,
                       std::span<const MetricColumn> columns, const std::vector<ComparedRow>& rows,
                       bool compare);

// Sentences for the head of the report: which cells agree, and which do not.
void add_findings(Section& section, const Table& table);

}  // namespace versor
