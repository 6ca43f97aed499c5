// Recorded runs are found by their configs; verdicts on the paper's tables; README's results; and
// the methods on made-up runs.
#include <nlohmann/json.hpp>

#include "experiments/study/readme_results.h"
#include "experiments/study/verdict_analyses.h"
#include "experiments/study/verdict_simulation.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kMetrics[] = {"train_loss",         "train_recon_loss", "train_codebook_loss",
                                    "train_perplexity",   "test_loss",        "test_recon_loss",
                                    "test_codebook_loss", "test_perplexity"};

// Rows of equal figures, `factor` times those of table 3.
MetricsTable metrics_of(double beta, int64_t epochs, double factor) {
  MetricsTable table{"metrics.csv", {std::begin(kMetrics), std::end(kMetrics)}, {}};
  for (const PaperRow& row : table3_rows())
    if (row.beta == beta) table.rows.assign(static_cast<size_t>(epochs), row.values);
  for (auto& row : table.rows)
    for (double& value : row) value *= factor;
  return table;
}

RecordedRun run_of(double beta, uint64_t seed, double factor) {
  return {"run", beta, 1024, 50, seed, "tf32", "GPU", "c1", metrics_of(beta, 50, factor)};
}

Json config_of_run(uint64_t seed, int64_t epochs = 50) {
  return {{"options",
           {{"estimator", "published"},
            {"owner", "both"},
            {"codebook_start", "uniform"},
            {"accumulators", "zero"},
            {"dead_codes", 0.0},
            {"ema_in_eval", true},
            {"codes", 1024},
            {"latent", 256},
            {"beta", 0.25},
            {"decay", 0.99},
            {"lr", 0.0002},
            {"batch_size", 128},
            {"epochs", epochs},
            {"seed", seed},
            {"data", "CIFAR-10"},
            {"data_fingerprint", "47692dc88d89f0a9"},
            {"train_images", 50000},
            {"test_images", 10000},
            {"device", "cuda"},
            {"precision", "tf32"},
            {"threads", 4}}},
          {"commit", "c1"},
          {"hardware", "GPU"}};
}

class Place {
 public:
  void add(const std::string& name, const std::string& config, int64_t epochs = 50,
           double factor = 1) {
    fs::create_directories(folder_ / name);
    write_file(folder_ / (name + "/config.json"), config);
    std::string csv;
    const MetricsTable table = metrics_of(0.25, epochs, factor);
    for (const std::string& column : table.columns) csv += (csv.empty() ? "" : ",") + column;
    for (const auto& row : table.rows)
      for (size_t i = 0; i < row.size(); ++i) csv += (i == 0 ? "\n" : ",") + std::to_string(row[i]);
    write_file(folder_ / (name + "/metrics.csv"), csv + "\n");
  }
  RecordedRuns read() const { return read_recorded_runs({folder_.path().string()}); }

 private:
  TemporaryFolder folder_;
};

std::string with(const std::string& option, const Json& value) {
  Json config = config_of_run(9);
  config["options"][option] = value;
  return config.dump();
}

std::map<std::string, int> counts(const std::vector<Cell>& cells) {
  std::map<std::string, int> all;
  for (const Cell& cell : cells) ++all[cell.comparison.verdict];
  return all;
}

}  // namespace

TEST_CASE("recorded runs: found by config, each seed once, the longest") {
  Place place;
  place.add("any name", config_of_run(1).dump());
  place.add("short", config_of_run(2).dump(), 50, 2);
  place.add("a long one", config_of_run(2, 100).dump(), 100, 3);
  // An old config: options at the top level, some not yet there, true written as 1.
  Json old = config_of_run(3)["options"];
  for (const char* key : {"dead_codes", "decay", "accumulators", "threads"}) old.erase(key);
  old["ema_in_eval"] = 1;
  old["layers"] = 1;  // an option of today with its usual value
  place.add("old", old.dump());
  const RecordedRuns found = place.read();
  CHECK(found.left_out.empty());
  REQUIRE(found.runs.size() == 3);
  CHECK(found.runs[0].seed == 1);
  CHECK(found.runs[0].hardware == "GPU");
  CHECK(found.runs[1].epochs == 100);
  CHECK(found.runs[1].logs("train_loss")[49] == doctest::Approx(std::log(3 * 0.0516)));
  CHECK(found.runs[2].seed == 3);
  CHECK(found.runs[2].hardware == "cuda");
  CHECK(read_recorded_runs({"/nowhere"}).runs.empty());
}

TEST_CASE("recorded runs: those cut off are apart, and compared with curves where they stopped") {
  Place place;
  place.add("whole", config_of_run(1).dump());
  place.add("cut off too, but whole elsewhere", config_of_run(1).dump(), 30);
  place.add("cut off", config_of_run(2).dump(), 47);
  place.add("cut off earlier", config_of_run(3).dump(), 40);
  const RecordedRuns found = place.read();
  CHECK(found.left_out.empty());
  CHECK(found.runs.size() == 1);
  REQUIRE(found.cut_off.size() == 2);
  CHECK(found.cut_off[0].seed == 2);
  const Evidence evidence{found.runs, read_published_runs("experiments/published_runs")};
  const Table table = cut_off_table(evidence, found.cut_off);
  REQUIRE(table.rows.size() == 6);
  CHECK(table.rows[0][0] == "β 0.25");
  CHECK(table.rows[0][1] == "40");
  CHECK(table.rows[0][5] == "3");  // seeds
  CHECK(cut_off_table(evidence, {}).rows.empty());
}

TEST_CASE("recorded runs: other recipes and sizes do not count") {
  Place place;
  const std::pair<const char*, Json> others[] = {
      {"estimator", "rotation"}, {"owner", "ema"},       {"lr", 0.001},         {"latent", 64},
      {"batch_size", 64},        {"train_images", 4000}, {"data", "synthetic"}, {"epochs", 49},
      {"lr_schedule", "cosine"}, {"layers", 2},          {"of_tomorrow", 1},    {"decay", 0.9}};
  for (const auto& [option, value] : others) place.add(option, with(option, value));
  const RecordedRuns found = place.read();
  CHECK(found.runs.empty());
  CHECK(found.left_out.empty());
}

TEST_CASE("recorded runs: what cannot be read is left out and named") {
  Place place;
  place.add("whole", config_of_run(1).dump());
  std::string deep(100, '[');
  const std::pair<const char*, std::string> wrong[] = {{"no json", "{"},
                                                       {"a list", "[]"},
                                                       {"options a number", R"({"options": 3})"},
                                                       {"deep", deep},
                                                       {"beta a word", with("beta", "high")},
                                                       {"beta below 0", with("beta", -1)},
                                                       {"seed below 0", with("seed", -1)},
                                                       {"epochs a fraction", with("epochs", 50.5)},
                                                       {"bf16", with("precision", "bf16")},
                                                       {"hardware a number", [] {
                                                          Json config = config_of_run(9);
                                                          config["hardware"] = 1;
                                                          return config.dump();
                                                        }()}};
  for (const auto& [name, config] : wrong) place.add(name, config);
  place.add("no rows", config_of_run(8).dump(), 0);
  place.add("a zero", config_of_run(7).dump(), 50, 0);
  place.add("not a number", config_of_run(6).dump(), 50, NAN);
  const RecordedRuns found = place.read();
  CHECK(found.runs.size() == 1);
  CHECK(found.left_out.size() == std::size(wrong) + 3);
  for (const auto& [name, config] : wrong) {
    CAPTURE(name);
    CHECK(std::any_of(found.left_out.begin(), found.left_out.end(), [&](const std::string& line) {
      return contains(line, std::string("/") + name + ": ");
    }));
  }
}

TEST_CASE("verdicts: no run, too few, and rows that contradict themselves") {
  const auto none = judge_tables({});
  CHECK(none.size() == 60);
  CHECK(counts(none) == std::map<std::string, int>{{kNoRun, 48}, {kContradictory, 12}});
  const auto one = counts(judge_tables({{run_of(1, 1, 1)}, {}}));
  CHECK(one == std::map<std::string, int>{
                   {kNoRun, 40}, {kContradictory, 12}, {kTooFew, 6}, {kNotTested, 2}});
}

// Seeds 1 % apart at beta 1, twice the paper's figures at beta 2, and one seed at beta 0.5, which
// takes the spread from the others.
TEST_CASE("verdicts: equivalent, different, and the spread of other betas") {
  Evidence evidence;
  for (uint64_t seed : {1, 2, 3}) {
    const double factor = 0.98 + 0.01 * static_cast<double>(seed);
    evidence.runs.push_back(run_of(1, seed, factor));
    evidence.runs.push_back(run_of(2, seed, 2 * factor));
  }
  evidence.runs.push_back(run_of(0.5, 1, 1));
  const std::vector<Cell> cells = judge_tables(evidence);
  for (const Cell& cell : cells) {
    if (cell.table != 3 || cell.ours.empty()) continue;
    CAPTURE(cell.row);
    CAPTURE(cell.figure.title);
    const bool perplexity = cell.figure.title == std::string("Perplexity") ||
                            cell.figure.title == std::string("Test Perplexity");
    if (!is_tested(cell.figure.metric))
      CHECK(cell.comparison.verdict == kNotTested);
    else if (cell.row == "β 2")
      CHECK(cell.comparison.verdict == kDiffers);
    else
      CHECK(cell.comparison.verdict == (perplexity ? kCompatible : kEquivalent));
    CHECK(cell.comparison.ratio.df == 4);
  }
  CHECK(contains(summary_of_verdicts(cells), "8 equivalent to ours"));
  CHECK(contains(summary_of_verdicts(cells), "6 different from ours"));
}

TEST_CASE("verdicts: Initial is the first epoch, Medium the run with K = 1024 that it is") {
  Evidence evidence;
  for (uint64_t seed : {1, 2, 3}) evidence.runs.push_back(run_of(0.25, seed, 1));
  for (RecordedRun& run : evidence.runs)
    run.metrics.rows[0] = {0.1, 0.0433, 0.0454, 18, 1, 1, 1, 1};
  for (const Cell& cell : judge_tables(evidence)) {
    if (cell.row == "Initial" && cell.figure.metric == std::string("train_recon_loss"))
      CHECK(cell.comparison.ratio.value() == doctest::Approx(1));
    if (cell.row == "Final Medium" && cell.figure.metric == std::string("train_perplexity"))
      CHECK(cell.comparison.ratio.value() == doctest::Approx(281.29 / 431.25));
  }
}

TEST_CASE("verdicts: the authors' third run counts once") {
  Evidence evidence{{}, read_published_runs("experiments/published_runs")};
  CHECK(evidence.their_logs(kThreeTimes, "train_perplexity").size() == 3);
  CHECK(evidence.their_logs(kThreeTimes, "test_perplexity").size() == 2);
  CHECK(evidence.their_logs({1024, 1.0}, "train_perplexity").size() == 1);
  PublishedRun third = *evidence.curves(kThreeTimes)[0];
  third.metrics.rows[49] = {50, 0.04822, 0.00951, 0.0310, 0.0310, 297.1, 1, 1, 1, 1, 1};
  evidence.authors.push_back(third);
  CHECK(evidence.their_logs(kThreeTimes, "train_perplexity").size() == 3);
}

TEST_CASE("analyses: tables of the authors' runs, slopes and curves, and none without runs") {
  Evidence evidence{{}, read_published_runs("experiments/published_runs")};
  for (const auto& analysis : {all_runs_table, permutation_table, adjusted_table, curve_table})
    CHECK(analysis(evidence).rows.empty());
  CHECK(slope_table(evidence).rows[0][3] == "no runs");
  for (const PaperRow& row : table3_rows())
    for (uint64_t seed : {1, 2, 3})
      evidence.runs.push_back(run_of(row.beta, seed, 1 + 0.01 * static_cast<double>(seed)));
  CHECK(all_runs_table(evidence).rows.size() == 6);
  CHECK(adjusted_table(evidence).rows.size() == 20);
  CHECK(permutation_table(evidence).rows.size() == 10);
  // Ours are the printed rows; theirs have two or three runs at beta 0.25.
  for (const auto& row : slope_table(evidence).rows)
    CHECK(std::stod(row[3]) == doctest::Approx(std::stod(row[2])).epsilon(0.05));
  // Our made-up curves are flat at the end's figures: the authors' begin outside and end inside.
  const Table curves = curve_table(evidence);
  CHECK(curves.rows.size() == 6);
  CHECK(contains(curves.rows[0][3], " of 50"));
  CHECK(std::stoi(curves.rows[0][3]) > 0);
  CHECK(std::stoi(curves.rows[0][3]) < 50);
  const TemporaryFolder folder;
  Section section;
  add_band_plots(evidence, folder.path().string(), section);
  CHECK(section.pictures.size() + section.notes.size() == 15);
}

// A curve of another K and one of 100 epochs can be added to the authors' and are compared with
// what we have of that size.
TEST_CASE("analyses: curves beyond the tables") {
  Evidence evidence{{}, read_published_runs("experiments/published_runs")};
  const PublishedRun of_half = *evidence.curves({1024, 0.5})[0];
  for (uint64_t seed : {1, 2, 3}) {
    evidence.runs.push_back(run_of(0.5, seed, 1 + 0.01 * static_cast<double>(seed)));
    evidence.runs.push_back(evidence.runs.back());
    evidence.runs.back().codes = 256;
    evidence.runs[2 * seed - 2].metrics.rows.resize(seed < 3 ? 100 : 50,
                                                    evidence.runs[0].metrics.rows[0]);
  }
  CHECK(all_runs_table(evidence).rows.empty());
  evidence.authors.push_back(of_half);
  evidence.authors.back().codes = 256;
  evidence.authors.push_back(of_half);
  evidence.authors.back().metrics.rows.resize(100, of_half.metrics.rows.back());
  const Table table = all_runs_table(evidence);
  REQUIRE(table.rows.size() == 18);
  CHECK(table.rows[0][0] == "β 0.5, K 256");
  CHECK(table.rows[6][1] == "50");
  CHECK(table.rows[12][1] == "100");
  CHECK(table.rows[12][5] == "2");  // our third run ended after 50
  const Table curves = curve_table(evidence);
  CHECK(contains(curves.rows.back()[3], " of 100"));
}

TEST_CASE("verdicts: the intervals cover the truth as often as they say") {
  const auto tables = simulate(3000);
  REQUIRE(tables.size() == 3);
  const auto within = [](const Table& table, size_t row, double low, double high) {
    for (size_t i = 1; i < table.columns.size(); ++i) {
      CAPTURE(table.columns[i]);
      CAPTURE(table.rows[row][0]);
      const double value = std::stod(table.rows[row][i]);
      CHECK(value >= low);
      CHECK(value <= high);
    }
  };
  for (size_t row : {0, 2}) within(tables[0], row, 94, 96);
  for (size_t row : {1, 3}) within(tables[0], row, 88.5, 91.5);
  within(tables[0], 4, 0, 5);    // one of three differs, wrongly
  within(tables[1], 1, 78, 82);  // power at the smallest difference
  within(tables[1], 2, 0, 6);    // equivalent at the margin
}

TEST_CASE("verdicts: README's results are those of the recorded runs") {
  const std::string readme = read_file("README.md");
  const Evidence evidence{read_recorded_runs({"experiments/recorded/runs"}).runs,
                          read_published_runs("experiments/published_runs")};
  CHECK(evidence.runs.size() >= 3);
  CHECK_MESSAGE(contains(readme, kBegin + ("\n" + readme_results(evidence)) + kEnd),
                "make readme-tables brings README.md up to date");
  const TemporaryFolder folder;
  write_file(folder / "a.md", std::string("before\n") + kBegin + "\nold\n" + kEnd + "\nafter\n");
  write_results_into(folder / "a.md", evidence);
  const std::string text = read_file(folder / "a.md");
  CHECK(text.starts_with("before\n"));
  CHECK(text.ends_with("\nafter\n"));
  CHECK_FALSE(contains(text, "old"));
  write_file(folder / "b.md", kEnd);
  CHECK(contains(error_of([&] { write_results_into(folder / "b.md", evidence); }), "b.md"));
}

TEST_CASE("verdicts: the program, with and without recorded runs" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string to = " --results " + (folder / "results");
  const Ended none = run("verdicts --recorded /nowhere --published-runs /nowhere" + to);
  CAPTURE(none.err);
  CHECK(none.code == 0);
  CHECK(contains(none.out, "48 without a run"));
  const std::string here = fs::current_path().string() + "/experiments/";
  const Ended some = run("verdicts --recorded " + here + "recorded/runs --published-runs " + here +
                         "published_runs" + to);
  CHECK(some.code == 0);
  CHECK(lines(read_file(folder / "results/verdicts-table3.csv")).size() == 6);
  CHECK(contains(read_file(folder / "results/verdicts.csv"), "β 0.25"));
  REQUIRE(run("report" + to).code == 0);
  CHECK(contains(read_file(folder / "results/report.html"), "<h2 id=\"verdicts\">"));
}

}  // namespace versor::testing
