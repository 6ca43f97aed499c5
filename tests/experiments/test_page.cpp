// Sections as files, plots as CSV and script, and the page that collects them.
#include <doctest/doctest.h>

#include <cmath>

#include "experiments/report/page.h"
#include "experiments/report/plot.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

Section small_section() {
  Section section;
  section.name = "table3";
  section.title = "Table <3>";
  section.notes = {"made & noted"};
  section.findings = {"a finding"};
  section.tables = {{.file = "table3", .title = "t", .columns = {"a"}, .rows = {{"1"}}},
                    {.file = "more", .title = "u", .columns = {"b"}, .rows = {{"2"}}}};
  section.pictures = {{"plots/p.svg", "a plot"}};
  section.runs = {{"short", "c1", "CPU", "fp32", "cpu", "", 0, {3600, 1800}},
                  {"long", "c1", "CPU", "fp32", "cpu", "short", 2, {3600, 1800, 1800}}};
  section.verdicts = {{"equivalent", 3}, {"differs", 1}};
  return section;
}

}  // namespace

TEST_CASE("section: what is written is what is read; each table is a CSV") {
  const TemporaryFolder folder;
  const std::string results = folder / "results";
  const Section section = small_section();
  write_section(results, section);
  CHECK(read_file(results + "/table3.csv") == "a\n1\n");
  CHECK(read_file(results + "/more.csv") == "b\n2\n");
  CHECK(contains(read_file(results + "/table3.md"), "| a |"));
  const Section read = read_section(results + "/table3.json");
  CHECK(read.title == section.title);
  CHECK(read.tables.size() == 2);
  CHECK(read.tables[1].rows == section.tables[1].rows);
  CHECK(read.runs[1].continues == "short");
  CHECK(read.runs[1].seconds == section.runs[1].seconds);
  CHECK(read.verdicts == section.verdicts);
  write_file(results + "/table3.json", "{");
  CHECK(contains(error_of([&] { read_section(results + "/table3.json"); }), "table3.json"));
}

TEST_CASE("page: opens with the verdict, has pictures inside and a place for what is missing") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "plots");
  write_file(folder / "plots/p.svg", "<svg/>");
  Section last;
  last.name = "errata";
  last.title = "Errata";
  const std::string page = report_page(folder.path().string(), {small_section(), last},
                                       {{"table1", "Table 1", "table1"}});
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(contains(page, "name=\"viewport\""));
  CHECK(contains(page, "Of 4 figures of the paper that were compared, 3 are equivalent to ours"));
  CHECK(contains(page, "1 differ"));
  CHECK(page.find("Verdict") < page.find("<h2 id=\"table3\">"));
  CHECK(contains(page, "Table &lt;3&gt;"));
  CHECK(contains(page, "Not run yet: make table1"));
  CHECK(contains(page, "src=\"data:image/svg+xml;base64,PHN2Zy8+\""));
  // 1.5 hours, and 0.5 of the longer run, whose other epochs were taken over.
  CHECK(contains(page, "2 training runs, 2.0 hours"));

  Section scaled = small_section();
  scaled.scale = "Scaled down";
  scaled.verdicts.clear();
  const std::string smaller = report_page(folder.path().string(), {scaled, last}, {});
  CHECK(contains(smaller, "Scaled down: 1 of the 1 parts"));
  CHECK(contains(smaller, "Nothing on this page has been compared"));
}

TEST_CASE("page: base64 with all three endings") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64(std::string("\xff\x00\x10", 3)) == "/wAQ");
}

TEST_CASE("plot: the CSV has a row for every x and empty cells where a curve has none") {
  const TemporaryFolder folder;
  const std::string results = folder.path().string();
  const LinePlot plot{
      .file = "p",
      .title = "it's",
      .y_label = "loss",
      .log_y = true,
      .curves = {epoch_curve("a", {1, 2, 4}, 0), epoch_curve("b", {3, NAN}, 1, true)}};
  const bool drawn = draw(results, plot);
  CHECK(read_file(results + "/plots/p.csv") == "epoch,a,b\n1,1,3\n2,2,\n3,4,\n");
  const std::string script = read_file(results + "/plots/p.gp");
  CHECK(contains(script, "set title 'it''s'"));
  CHECK(contains(script, "set logscale y"));
  CHECK(contains(script, "set ytics (1, 1.5, 2, 3)"));
  CHECK(fs::exists(results + "/plots/p.svg") == drawn);
  if (drawn) CHECK(contains(read_file(results + "/plots/p.svg"), "</svg>"));
}

TEST_CASE("plot: without gnuplot the numbers and the script are kept, and a note says so") {
  const TemporaryFolder folder;
  const EnvironmentVariable gnuplot("GNUPLOT", "/nowhere/gnuplot");
  Section section;
  CodebookPlot plot{"c", "codes", {{"panel", {{0, 0, 5, false}, {1, 2, 0, true}}}}};
  add_plot(section, folder.path().string(), plot, "caption");
  CHECK(section.pictures.empty());
  REQUIRE(section.notes.size() == 1);
  CHECK(contains(section.notes[0], "plots/c.csv"));
  CHECK(read_file(folder / "plots/c.csv") == "panel,x,y,count,dead\n0,0,0,5,0\n0,1,2,0,1\n");
}

TEST_CASE("plot: nothing in a name or a folder's name is executed") {
  const TemporaryFolder temporary;
  const std::string results = temporary / "it's; touch shell";
  LinePlot plot{.file = "p",
                .title = "`touch backquotes`",
                .y_label = "loss",
                .log_y = false,
                .curves = {epoch_curve("a'\nsystem 'touch gnuplot'\n#", {1, 2}, 0)}};
  const bool drawn = draw(results, plot);
  CHECK(fs::exists(results + "/plots/p.svg") == drawn);
  for (const auto& entry : fs::recursive_directory_iterator(temporary.path())) {
    const std::string name = entry.path().filename().string();
    CHECK_FALSE((name == "shell" || name == "backquotes" || name == "gnuplot"));
  }
}

}  // namespace versor::testing
