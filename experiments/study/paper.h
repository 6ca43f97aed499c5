// The paper's tables 2 and 3, with a check for rows that contradict themselves: "Rotational and
// Rescaling Vector Quantized Variational AutoEncoders" (AI-Researcher). Errors in its text are on
// the errata page (errata.h).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace versor {

// A column of a table and its column in metrics.csv.
struct MetricColumn {
  const char *title, *metric;
  int decimals;
};

// A row of a table; values in the order of the table's columns: total loss, reconstruction loss,
// codebook loss, perplexity, in table 3 once for training and once for testing.
struct PaperRow {
  const char* label;
  double beta;
  int64_t codes;
  std::vector<double> values;
};

// Whether a figure is tested by itself. A total is the sum recon + (1 + beta) codebook of two that
// are.
bool is_tested(const std::string& metric);
// How far the ratio of ours to the paper's may be from 1 to be called equivalent; none for
// perplexity. Fixed before any comparison; experiments/STATISTICS.md says why.
std::optional<double> margin_of(const std::string& metric);

std::span<const MetricColumn> table2_columns();
std::span<const PaperRow> table2_rows();  // Initial, Small, Medium, Large, X-Large
std::span<const MetricColumn> table3_columns();
std::span<const PaperRow> table3_rows();  // beta 0.1 ... 2

// The last training figures of the authors' third run with beta 0.25 and K = 1024, of which there
// is no curve. The other two are in published_runs/. Its codebook loss follows from the total.
const PaperRow& third_run();

// Says why four figures cannot belong to one run, with the arithmetic; empty if they can. The total
// must be reconstruction + (1 + beta) codebook up to the rounding of four decimals (the commitment
// loss has the same value as the codebook loss), and a perplexity is at most K.
std::string contradiction(double total, double reconstruction, double codebook, double perplexity,
                          double beta, int64_t codes);
// The same for a row, which has one or two blocks of four figures.
std::string contradiction(const PaperRow& row);

}  // namespace versor
