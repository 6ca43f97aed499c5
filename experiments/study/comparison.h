// Sets our runs beside a table of the paper: for every row the paper's figures and ours for each
// preset. What they show about the paper's figures: verdicts.h.
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

// `compare`: the runs have the paper's size; otherwise only our figures are shown.
Table comparison_table(const std::string& file, const std::string& key,
                       std::span<const MetricColumn> columns, const std::vector<ComparedRow>& rows,
                       bool compare);

}  // namespace versor
