// Verdicts on the figures of the paper's tables 2 and 3: our runs of full length against the
// authors' runs. experiments/STATISTICS.md explains the estimand, the assumptions and the methods;
// verdict_analyses.h goes beyond single figures.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/inference.h"
#include "experiments/report/statistics.h"
#include "experiments/report/table.h"
#include "experiments/study/paper.h"
#include "experiments/study/published_runs.h"
#include "experiments/study/recorded_runs.h"

namespace versor {

struct Setting {
  int64_t codes = 0;
  double beta = 0;
  auto operator<=>(const Setting&) const = default;
};
constexpr Setting kThreeTimes = {1024, 0.25};  // the authors ran it three times

// Our runs and the authors' curves.
struct Evidence {
  std::vector<RecordedRun> runs;
  std::vector<PublishedRun> authors;

  std::vector<Setting> settings() const;  // of our runs
  std::vector<const RecordedRun*> ours(const Setting& setting) const;
  std::vector<const PublishedRun*> curves(const Setting& setting) const;  // of at least 50 epochs
  // The logs of a column after `epoch` epochs, one for each run that is as long.
  Logs our_logs(const Setting& setting, const std::string& metric,
                int64_t epoch = kPaperEpochs) const;
  // The same of the curves, and after 50 epochs of the third run where it belongs.
  Logs their_logs(const Setting& setting, const std::string& metric,
                  int64_t epoch = kPaperEpochs) const;
  // The deviation between our seeds, pooled over the betas of the same K (spread_for).
  Spread spread(const Setting& setting, const std::string& metric,
                int64_t epoch = kPaperEpochs) const;
};

// A figure of the paper.
struct Cell {
  int table = 3;
  std::string row;
  MetricColumn figure;
  double paper = 0;
  Logs ours;              // empty: there is no run
  Comparison comparison;  // its verdict may also be kNoRun or kNotTested
};
constexpr const char* kNoRun = "no run";
constexpr const char* kNotTested = "not tested, a sum";

// Table 3's 40 cells, then table 2's 20. A family of Holm's adjustment is the reconstruction loss,
// codebook loss and perplexity of one row, for training and for testing separately.
std::vector<Cell> judge_tables(const Evidence& evidence);

Summary summary_of(const Logs& logs);  // of their exp
// "1.050 [0.912, 1.209]" with the 95 % interval; "12 %", from 1 on as a factor, "× 2.5"; "0.031".
std::string ratio_text(const Ratio& ratio);
std::string percent(double share);
std::string p_text(double p);
// The smallest difference that Holm's strictest step would find in 80 % of cases.
double detectable(const Comparison& comparison, size_t family);
// Judges the family and adds its rows to the table, each with columns for the result behind it.
void add_results(Table& table, std::vector<std::vector<std::string>> rows,
                 std::vector<Comparison> family);
void add_result_columns(Table& table);

// Rows of the paper with a verdict in each cell; all figures in detail; the spreads that were used.
Table verdict_table(const std::vector<Cell>& cells, int table);
Table detail_table(const std::vector<Cell>& cells);
Table spread_table(const Evidence& evidence);

}  // namespace versor
