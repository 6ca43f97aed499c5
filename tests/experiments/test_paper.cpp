// The paper's own figures: which rows cannot be right, the authors' curves, and ours beside them.
#include <doctest/doctest.h>

#include "experiments/study/comparison.h"
#include "experiments/study/errata.h"
#include "experiments/study/published_runs.h"
#include "tests/experiments/programs.h"

namespace versor::testing {

TEST_CASE("paper: rows that contradict themselves are found by their arithmetic") {
  for (const PaperRow& row : table3_rows()) {
    CAPTURE(row.label);
    CHECK(contradiction(row).empty());
  }
  std::vector<std::string> wrong;
  for (const PaperRow& row : table2_rows())
    if (!contradiction(row).empty()) wrong.push_back(row.label);
  CHECK(wrong == std::vector<std::string>{"Final Small", "Final Large", "Final X-Large"});
  CHECK(
      contradiction(table2_rows()[1]) ==
      "0.0077 + 1.25 x 0.0262 = 0.04045, not 0.0451; a perplexity of 317.6 is impossible with 256 "
      "codes");
}

// 0.01 + 1.25 * 0.02 = 0.035; the rounding of four figures allows 0.5e-4 * 3.25 = 1.625e-4.
TEST_CASE("paper: rounding is no contradiction, more than it is") {
  CHECK(contradiction(0.0351, 0.01, 0.02, 10, 0.25, 16).empty());
  CHECK(contradiction(0.0349, 0.01, 0.02, 10, 0.25, 16).empty());
  CHECK_FALSE(contradiction(0.0352, 0.01, 0.02, 10, 0.25, 16).empty());
  CHECK_FALSE(contradiction(0.0348, 0.01, 0.02, 10, 0.25, 16).empty());
  CHECK(contradiction(0.035, 0.01, 0.02, 16, 0.25, 16).empty());
  CHECK(contains(contradiction(0.035, 0.01, 0.02, 16.1, 0.25, 16), "impossible with 16 codes"));
}

TEST_CASE("paper: the errata page has a row for every contradiction and for eq. 1") {
  const Section page = errata();
  REQUIRE(page.tables.size() == 1);
  int contradictions = 0;
  bool sign = false;
  for (const auto& row : page.tables[0].rows) {
    CHECK(row.size() == 4);
    contradictions += contains(row[2], "Contradicts itself");
    sign |= contains(row[0], "eq. 1");
  }
  CHECK(contradictions == 3);
  CHECK(sign);
}

namespace {

// Runs that consist of metrics.csv alone: one column has the given values in the last epoch.
Series series_of(const TemporaryFolder& folder, const std::string& preset,
                 const std::vector<double>& perplexities) {
  Series series{"row", preset, {}};
  for (size_t i = 0; i < perplexities.size(); ++i) {
    Run run;
    run.folder = folder / (preset + std::to_string(i));
    std::filesystem::create_directories(run.folder);
    write_file(run.folder + "/metrics.csv",
               "epoch,train_loss,train_recon_loss,train_codebook_loss,train_perplexity\n"
               "1,9,9,9,9\n2,0.0475,0.0092,0.0306," +
                   std::to_string(perplexities[i]) + "\n");
    series.runs.push_back(run);
  }
  return series;
}

}  // namespace

TEST_CASE("comparison: the paper's figures beside ours, for runs of its size alone") {
  const TemporaryFolder folder;
  const Series published = series_of(folder, "published", {430, 431, 432});
  const Series versor = series_of(folder, "versor", {530, 531, 532});
  const std::vector<ComparedRow> rows = {{"Medium", &table2_rows()[2], {&published, &versor}, 0},
                                         {"Small", &table2_rows()[1], {&published}, 0},
                                         {"first epoch", nullptr, {&published}, 1}};
  const Table table = comparison_table("table2", "model", table2_columns(), rows, true);
  using Row = std::vector<std::string>;
  REQUIRE(table.rows.size() == 6);
  CHECK(table.file == "table2");
  CHECK(table.rows[0] == Row{"Medium", "paper", "0.0475", "0.0092", "0.0306", "431.25"});
  CHECK(table.rows[1][5] == "431.00 ± 1.00");
  CHECK(table.rows[2][1] == "ours, versor");
  CHECK(table.rows[3][1] == "paper");
  CHECK(table.rows[5][1] == "ours, published");
  CHECK(table.rows[5][5] == "9.00 ± 0.00");

  const Table alone = comparison_table("table2", "model", table2_columns(), rows, false);
  CHECK(alone.rows.size() == 4);
  CHECK_FALSE(contains(alone.csv(), "431.25"));
}

TEST_CASE("published runs: beta and K come from the names, rows from the files") {
  const TemporaryFolder folder;
  CHECK(read_published_runs(folder / "none").empty());
  write_file(folder / "beta_0.5_k256.csv", "epoch,train_loss\n1,0.5\n2,0.25\n");
  write_file(folder / "final_k1024_beta0.25.csv", "epoch,train_loss\n1,0.125\n");
  write_file(folder / "README.md", "no run");
  const auto runs = read_published_runs(folder.path().string());
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].beta == 0.5);
  CHECK(runs[0].codes == 256);
  CHECK(runs[0].metrics.column("train_loss") == std::vector<double>{0.5, 0.25});
  CHECK(runs[1].beta == 0.25);
  CHECK(runs[1].codes == 1024);
  write_file(folder / "beta_1_k2.csv", "epoch,train_loss\n1,x\n");
  CHECK(contains(error_of([&] { read_published_runs(folder.path().string()); }), "beta_1_k2.csv"));
}

}  // namespace versor::testing
