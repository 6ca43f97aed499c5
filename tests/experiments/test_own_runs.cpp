// bin/report for any runs: tiny trainings on one page, unfinished and damaged ones among them, and
// the page that follows a training.
#include <fmt/format.h>

#include <regex>

#include "experiments/run/metrics.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

// Two seeds of one setting, and another setting.
struct ThreeRuns {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results", a = temporary / "a", b = temporary / "b",
                    c = temporary / "c", page = results + "/runs.html";

  ThreeRuns() {
    for (const std::string& run_command : {tiny(a, "--quiet --epochs 2 --beta 0.5"),
                                           tiny(b, "--quiet --epochs 2 --beta 0.5 --seed 2"),
                                           tiny(c, "--quiet --epochs 2 --beta 0.125")})
      REQUIRE(run(run_command).code == 0);
  }
  Ended report(const std::string& folders) const {
    return run("report --results " + results + " " + folders);
  }
  std::string text() const { return read_file(page); }
  std::string all() const { return a + " " + b + " " + c; }
};

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

// A row of metrics.csv like the last, for the next epoch.
std::string one_epoch_more(const std::string& csv, int epoch) {
  const std::string last = lines(csv).back();
  return csv + std::to_string(epoch) + last.substr(last.find(',')) + "\n";
}

}  // namespace

TEST_CASE("own runs: settings side by side, the seeds of one as a band" *
          doctest::skip(without_programs())) {
  const ThreeRuns runs;
  const Ended ended = runs.report(runs.all());
  REQUIRE(ended.code == 0);
  CHECK(contains(ended.out, "written: " + runs.page));
  const std::string page = runs.text();
  CHECK(contains(page, "3 runs of 2 settings: the best is beta "));
  CHECK(contains(page, "Common to all: --estimator rotation"));
  CHECK_FALSE(contains(page, "--beta"));  // what differs is in the table
  for (const std::string& folder : {runs.a, runs.b, runs.c}) CHECK(contains(page, folder + "<"));
  for (const char* part : {"<td>CPU", "256 training, 32 test", "<td class=\"n\">1, 2</td>"})
    CHECK(contains(page, part));
  // The curve of the lone run has its values, and no band; the other is the mean of two.
  const auto values = read_metrics(runs.c + "/metrics.csv").column("test_recon_loss");
  CHECK(contains(page, fmt::format("data-name=\"beta 0.125, test\" data-x=\"1 2\" data-y=\"{:.5g} "
                                   "{:.5g}\"",
                                   values[0], values[1])));
  const auto one = read_metrics(runs.a + "/metrics.csv").column("train_recon_loss");
  const auto two = read_metrics(runs.b + "/metrics.csv").column("train_recon_loss");
  CHECK(contains(page, fmt::format("data-name=\"beta 0.5, train\" data-x=\"1 2\" data-y=\"{:.5g} "
                                   "{:.5g}\"",
                                   (one[0] + two[0]) / 2, (one[1] + two[1]) / 2)));
  const int plots = count(page, "<svg class=\"plot\"");
  CHECK(plots == 8);  // one step by step, with a curve for every seed
  CHECK(count(page, "class=\"band\"") == 2 * (plots - 1));
  CHECK(contains(page, "data-name=\"beta 0.5, seed 2\" data-x=\"16 32\""));
  // Originals once: a row of them on the first screen and two in the section.
  CHECK(count(page, "<image ") == 2);
  CHECK(count(page, "<span>originals</span>") == 3);
  CHECK(lines(read_file(runs.results + "/own-runs.csv")).size() == 3);
}

TEST_CASE("own runs: a folder of runs, a copy that counts once, and what a run has not yet" *
          doctest::skip(without_programs())) {
  const ThreeRuns runs;
  const std::string results = runs.temporary / "folder", folder = results + "/runs";
  fs::create_directories(folder + "/begun");
  fs::copy(runs.a, folder + "/first", fs::copy_options::recursive);
  fs::copy(runs.a, folder + "/copy", fs::copy_options::recursive);
  fs::copy(runs.c, folder + "/growing", fs::copy_options::recursive);
  fs::copy(runs.c + "/config.json", folder + "/begun/config.json");
  std::string config = read_file(folder + "/begun/config.json");
  config.replace(config.find("\"seed\": 1"), 9, "\"seed\": 9");
  write_file(folder + "/begun/config.json", config);
  // In the middle of writing its second row.
  const std::string csv = read_file(folder + "/growing/metrics.csv");
  write_file(folder + "/growing/metrics.csv", csv.substr(0, csv.size() - 20));
  const Ended ended = runs.report(folder + "/");
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  const std::string page = runs.text();
  CHECK(contains(page, "3 runs of 2 settings"));
  CHECK(contains(page, "are the same run, which counts once"));
  CHECK(contains(page, ">1 of 2</td>"));
  REQUIRE(runs.report(results).code == 0);
  CHECK(contains(runs.text(), "3 runs of 2 settings"));
  CHECK(contains(page, ">0 of 2</td>"));
}

TEST_CASE("own runs: what is damaged is a box that names the file, and the exit code is 1" *
          doctest::skip(without_programs())) {
  const ThreeRuns runs;
  write_file(runs.a + "/config.json", "{");
  write_file(runs.b + "/metrics.csv", "epoch,train_loss\n1,x\n");
  write_file(runs.c + "/reconstructions.png", "no picture");
  const Ended ended = runs.report(runs.all());
  CHECK(ended.code == 1);
  const std::string line = error_line(ended), page = runs.text();
  for (const std::string& file :
       {runs.a + "/config.json", runs.b + "/metrics.csv", runs.c + "/reconstructions.png"}) {
    CHECK(contains(line, file));
    CHECK(count(page, "Could not be read") >= 6);  // each at the head and in its place
    CHECK(count(page, file) >= 2);
  }
  CHECK(contains(page, "1 run of 1 setting"));
  CHECK(contains(page, "<svg class=\"plot\""));
  CHECK(page.ends_with("</html>\n"));
}

TEST_CASE("own runs: a mistyped folder is an error in one line" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string empty = temporary / "empty", results = " --results " + (temporary / "r");
  fs::create_directories(empty);
  for (const std::string& arguments :
       {(temporary / "nowhere") + results, empty + results, std::string(results + "-not-there")}) {
    const Ended ended = run("report " + arguments);
    CHECK(ended.code == 1);
    CHECK(contains(error_line(ended), temporary.path().string()));
  }
  CHECK_FALSE(fs::exists(temporary / "r"));
}

TEST_CASE("own runs: without folders, the page has the runs that no table uses" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results", page = results + "/report.html";
  fs::create_directories(results);
  REQUIRE(run("report --results " + results).code == 0);
  CHECK(contains(read_file(page), "No training run is on this page."));
  CHECK_FALSE(contains(read_file(page), "id=\"own-runs\""));
  REQUIRE(run(tiny(results + "/runs/mine", "--quiet --epochs 1")).code == 0);
  // A part that cannot be read does not take the others with it.
  write_file(results + "/table1.json", "{}");
  const Ended ended = run("report --results " + results);
  CHECK(ended.code == 1);
  CHECK(contains(error_line(ended), "table1.json"));
  const std::string text = read_file(page);
  CHECK(contains(text, "<h2 id=\"own-runs\">"));
  CHECK(contains(text, "1 training run, 0 minutes"));
  CHECK(contains(text, "Could not be read: [report] " + results + "/table1.json"));
  CHECK(contains(text, "<h2 id=\"errata\">"));
}

TEST_CASE("own runs: a watched page has a new epoch within ten seconds, and ends with Ctrl-C" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string mine = temporary / "mine", results = temporary / "results",
                    page = results + "/runs.html";
  REQUIRE(run(tiny(mine, "--quiet --epochs 1")).code == 0);
  Process watching("report --watch --results " + results + " " + mine);
  const auto appears = [&](const std::string& text) {
    for (int i = 0; i < 100; ++i) {
      if (fs::exists(page) && contains(read_file(page), text)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  };
  CHECK(appears("data-x=\"1\""));
  CHECK(appears("data-reload=\"5\""));
  write_file(mine + "/metrics.csv", one_epoch_more(read_file(mine + "/metrics.csv"), 2));
  CHECK(appears("data-x=\"1 2\""));
  const auto written = fs::last_write_time(page);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  CHECK(fs::last_write_time(page) == written);  // nothing has changed
  watching.send(SIGINT);
  const Ended ended = watching.wait(std::chrono::seconds(20));
  CHECK(ended.code == 130);
  CHECK(contains(read_file(page), "data-reload=\"0\""));
}

}  // namespace versor::testing
