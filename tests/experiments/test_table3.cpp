// bin/table3 in miniature: makes only the runs that are missing, writes the table in three
// forms, says that the images are synthetic, and keeps the paper's figures out of it.
#include <set>

#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

std::string miniature(const std::string& results, const std::string& seeds = "1") {
  return "table3 --quick --data synthetic --latent 8 --codes 8 --train-images 64 "
         "--test-images 16 --batch-size 16 --epochs 2 --threads 1 --seeds " +
         seeds + " --results " + results + " ";
}

int runs_in(const std::string& results) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(results + "/runs")) count += entry.is_directory();
  return count;
}

// The folder that a line of --list gives its run.
fs::path folder_of(const std::string& command) {
  const size_t begin = command.find("--out '") + 7;
  return command.substr(begin, command.rfind('\'') - begin);
}

// All figures of the paper's table 3 that a miniature could hardly reproduce by accident.
constexpr const char* kPaperFigures[] = {"628.84", "617.90", "281.29", "282.58", "126.93",
                                         "127.05", "132.34", "132.32", "117.23", "117.17",
                                         "0.0785", "0.0776", "0.0516", "0.0529"};

}  // namespace

TEST_CASE("table3: a miniature in Markdown, CSV and HTML, without the paper's figures" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const Ended ended = run(miniature(results));
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(runs_in(results) == 10);  // two presets
  const std::string markdown = read_file(results + "/table3.md");
  const std::string csv = read_file(results + "/table3.csv");
  REQUIRE(run("report --results " + results).code == 0);
  // The errata page has the paper's figures: the text before it must not.
  std::string page = read_file(results + "/report.html");
  page.resize(page.find("<h2 id=\"errata\">"));
  for (const std::string& text : {markdown, page, ended.out}) {
    CHECK(contains(text, "Scaled down, nothing here is compared with the paper: synthetic images"));
    CHECK(contains(text, "64 of 50000 training images"));
    CHECK(contains(text, "2 of 50 epochs"));
    CHECK(contains(text,
                   "synthetic images (not CIFAR-10): 64 training and 16 test images; "
                   "D 8, batch 16, 2 epochs; seed 1"));
  }
  for (const std::string& text : {markdown, csv, page, ended.out})
    for (const char* figure : kPaperFigures) {
      CAPTURE(figure);
      CHECK_FALSE(contains(text, figure));
    }
  const std::vector<std::string> rows = lines(csv);
  REQUIRE(rows.size() == 11);
  CHECK(rows[0] ==
        "beta,source,Total Loss,Recon Loss,Codebook Loss,Perplexity,Test Loss,Test Recon,Test "
        "Codebook,"
        "Test Perplexity");
  const char* betas[] = {"0.1,", "0.25,", "0.5,", "1,", "2,"};
  for (size_t i = 0; i < 5; ++i) {
    CHECK(rows[2 * i + 1].starts_with(std::string(betas[i]) + "\"ours, published\","));
    CHECK(rows[2 * i + 2].starts_with(std::string(betas[i]) + "\"ours, versor\","));
  }
  // The page needs no other file.
  for (size_t at = 0; (at = page.find("src=\"", at)) != std::string::npos; ++at)
    CHECK(page.substr(at + 5, 11) == "data:image/");

  const auto before = tree(results + "/runs");
  const Ended again = run(miniature(results));
  CHECK(again.code == 0);
  CHECK_FALSE(contains(again.err, "epoch"));
  CHECK((tree(results + "/runs") == before));
  CHECK(read_file(results + "/table3.md") == markdown);
  CHECK(run(miniature(results) + "--list").out.empty());
}

TEST_CASE("table3: the figures are those of the runs' last epochs" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  REQUIRE(run(miniature(results) + "--quiet --preset versor").code == 0);
  std::string first;
  for (const auto& entry : fs::directory_iterator(results + "/runs"))
    if (contains(entry.path().string(), "-beta0.1-")) first = entry.path().string();
  // A column's value encodes its place in the row of the last epoch: epoch 2 reads 2.0001, 2.0002,
  // ...
  const std::vector<std::string> rows = lines(read_file(first + "/metrics.csv"));
  std::string marked = rows[0] + "\n" + rows[1] + "\n2";
  const auto columns = static_cast<size_t>(std::count(rows[0].begin(), rows[0].end(), ','));
  for (size_t i = 1; i <= columns; ++i) marked += "," + std::to_string(2 + 1e-4 * i);
  write_file(first + "/metrics.csv", marked + "\n");
  REQUIRE(run(miniature(results) + "--quiet --preset versor").code == 0);
  CHECK(lines(read_file(results + "/table3.csv"))[1] ==
        "0.1,\"ours, versor\",2.0001,2.0002,2.0003,2.00,2.0006,2.0007,2.0008,2.00");
}

TEST_CASE("table3: --list prints the missing runs' commands, which make them" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  // Every option differs from its default: one missing from a listed command would make another
  // run.
  const std::string other =
      "--estimator ste --owner both --codebook-start uniform --accumulators zero "
      "--dead-codes 0.3 --ema-in-eval 1 --decay 0.9 --lr 0.002 ";  // both presets are one then
  fs::create_directory_symlink(program_folder(), temporary.path() / "bin");  // "bin/train ..."
  const Ended list = run(miniature(results) + other + "--list");
  CHECK(list.code == 0);
  CHECK(list.err.empty());
  CHECK(lines(list.out).size() == 5);
  for (const std::string& line : lines(list.out)) CHECK(line.starts_with("bin/train "));
  CHECK_FALSE(fs::exists(results));
  write_file(temporary / "list.sh", "set -e\n" + list.out);
  const Ended made = run("sh list.sh", {}, temporary.path().string());
  CAPTURE(made.err);
  CHECK(made.code == 0);
  CHECK(runs_in(results) == 5);
  CHECK(run(miniature(results) + other + "--list").out.empty());
  const auto before = tree(results + "/runs");
  const Ended table = run(miniature(results) + other);
  CHECK(table.code == 0);
  CHECK_FALSE(contains(table.err, "epoch"));
  CHECK((tree(results + "/runs") == before));

  // Another seed: five more runs, and a spread in the table.
  CHECK(lines(run(miniature(results, "1,2") + other + "--list").out).size() == 5);
  const Ended both = run(miniature(results, "1,2") + other);
  CHECK(both.code == 0);
  CHECK(runs_in(results) == 10);
  auto after = tree(results + "/runs");
  std::erase_if(after, [&](const auto& entry) { return !before.contains(entry.first); });
  CHECK((after == before));
  CHECK(contains(both.out, "seeds 1, 2"));
  for (const std::string& line : lines(read_file(results + "/table3.csv")))
    CHECK((line.starts_with("beta") || contains(line, " ± ")));
}

TEST_CASE("table3: finished runs of a GPU make a table on a machine without one" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  // A number that no machine has, so this GPU is missing everywhere.
  const std::string there =
      miniature(results) + "--quiet --preset versor --precision fp32 --device cuda:99 ";
  const std::string here = miniature(results) + "--quiet --preset versor --precision fp32 ";
  const Ended missing = run(there);
  CHECK(missing.code == 1);
  CHECK(lines(missing.err).size() == 1);
  CHECK(contains(missing.err, "no CUDA device"));

  // What that GPU would have left: this CPU's runs under its name.
  const auto ours = lines(run(here + "--list").out), theirs = lines(run(there + "--list").out);
  REQUIRE((ours.size() == 5 && theirs.size() == 5));
  REQUIRE(run(here).code == 0);
  for (size_t i = 0; i < ours.size(); ++i) {
    const fs::path from = folder_of(ours[i]), to = folder_of(theirs[i]);
    fs::rename(from, to);
    std::string config = read_file(to / "config.json");
    const std::string cpu = R"("device": "cpu")";
    REQUIRE(contains(config, cpu));
    config.replace(config.find(cpu), cpu.size(), R"("device": "cuda:99")");
    write_file(to / "config.json", config);
  }
  const Ended table = run(there);
  CAPTURE(table.err);
  CHECK(table.code == 0);
  CHECK(contains(read_file(results + "/table3.md"), "0.25"));
  CHECK(runs_in(results) == 5);
}

TEST_CASE("table3: runs of different commits bring a warning" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  REQUIRE(run(miniature(results) + "--epochs 2").code == 2);  // twice the same option
  REQUIRE(run(miniature(results)).code == 0);
  CHECK_FALSE(contains(read_file(results + "/table3.md"), "different commits"));
  for (const auto& entry : fs::directory_iterator(results + "/runs")) {
    const std::string path = entry.path() / "config.json";
    std::string text = read_file(path);
    const size_t at = text.find("\"commit\": \"");
    REQUIRE(at != std::string::npos);
    write_file(path, text.insert(at + 11, "other"));
    break;
  }
  CHECK(run(miniature(results)).code == 0);
  CHECK(contains(read_file(results + "/table3.md"), "warning"));
  CHECK(contains(read_file(results + "/table3.md"), "different commits"));
}

}  // namespace versor::testing
