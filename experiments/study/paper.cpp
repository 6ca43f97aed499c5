// The paper's tables: see paper.h.
#include "experiments/study/paper.h"

#include <fmt/format.h>

#include <cmath>

namespace versor {
namespace {

constexpr MetricColumn kTable2Columns[] = {{"Total Loss", "train_loss", 4},
                                           {"Reconstruction Loss", "train_recon_loss", 4},
                                           {"Codebook Loss", "train_codebook_loss", 4},
                                           {"Perplexity", "train_perplexity", 2}};

constexpr MetricColumn kTable3Columns[] = {{"Total Loss", "train_loss", 4},
                                           {"Recon Loss", "train_recon_loss", 4},
                                           {"Codebook Loss", "train_codebook_loss", 4},
                                           {"Perplexity", "train_perplexity", 2},
                                           {"Test Loss", "test_loss", 4},
                                           {"Test Recon", "test_recon_loss", 4},
                                           {"Test Codebook", "test_codebook_loss", 4},
                                           {"Test Perplexity", "test_perplexity", 2}};

}  // namespace

bool is_tested(const std::string& metric) {
  return metric.ends_with("_recon_loss") || metric.ends_with("_codebook_loss") ||
         metric.ends_with("_perplexity");
}

std::optional<double> margin_of(const std::string& metric) {
  if (metric.ends_with("_recon_loss")) return 0.10;
  if (metric.ends_with("_codebook_loss")) return 0.25;
  return {};
}

std::span<const MetricColumn> table2_columns() {
  return kTable2Columns;
}
std::span<const MetricColumn> table3_columns() {
  return kTable3Columns;
}

std::span<const PaperRow> table2_rows() {
  static const PaperRow rows[] = {{"Initial", 0.25, 1024, {0.1000, 0.0433, 0.0454, 17.95}},
                                  {"Final Small", 0.25, 256, {0.0451, 0.0077, 0.0262, 317.6}},
                                  {"Final Medium", 0.25, 512, {0.0475, 0.0092, 0.0306, 431.25}},
                                  {"Final Large", 0.25, 1024, {0.0451, 0.0077, 0.0262, 317.6}},
                                  {"Final X-Large", 0.25, 2048, {0.0451, 0.0077, 0.0262, 317.6}}};
  return rows;
}

std::span<const PaperRow> table3_rows() {
  static const PaperRow rows[] = {
      {"0.1", 0.1, 1024, {0.0785, 0.0086, 0.0636, 628.84, 0.0776, 0.0094, 0.0620, 617.90}},
      {"0.25", 0.25, 1024, {0.0516, 0.0095, 0.0336, 281.29, 0.0529, 0.0102, 0.0342, 282.58}},
      {"0.5", 0.5, 1024, {0.0441, 0.0108, 0.0222, 126.93, 0.0441, 0.0116, 0.0217, 127.05}},
      {"1", 1.0, 1024, {0.0324, 0.0108, 0.0108, 132.34, 0.0326, 0.0114, 0.0106, 132.32}},
      {"2", 2.0, 1024, {0.0266, 0.0108, 0.0053, 117.23, 0.0273, 0.0114, 0.0053, 117.17}}};
  return rows;
}

const PaperRow& third_run() {
  static const PaperRow row{
      "third run", 0.25, 1024, {0.0482, 0.0095, (0.0482 - 0.0095) / 1.25, 297}};
  return row;
}

std::string contradiction(double total, double reconstruction, double codebook, double perplexity,
                          double beta, int64_t codes) {
  constexpr double kHalfDigit = 0.5e-4;  // each figure is rounded to four decimals
  const double sum = reconstruction + (1 + beta) * codebook;
  std::string why;
  if (std::fabs(sum - total) > kHalfDigit * (1 + 1 + (1 + beta)))
    why = fmt::format("{:.4f} + {:g} x {:.4f} = {:.5f}, not {:.4f}", reconstruction, 1 + beta,
                      codebook, sum, total);
  if (perplexity > static_cast<double>(codes))
    why += fmt::format("{}a perplexity of {:g} is impossible with {} codes",
                       why.empty() ? "" : "; ", perplexity, codes);
  return why;
}

std::string contradiction(const PaperRow& row) {
  std::string all;
  for (size_t i = 0; i + 4 <= row.values.size(); i += 4) {
    const double* v = row.values.data() + i;
    const std::string why = contradiction(v[0], v[1], v[2], v[3], row.beta, row.codes);
    if (!why.empty()) all += (all.empty() ? "" : "; ") + why;
  }
  return all;
}

}  // namespace versor
