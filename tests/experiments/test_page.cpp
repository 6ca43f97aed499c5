// Sections as files, plots as CSV and script, and the page that collects them.
#include <doctest/doctest.h>

#include <cmath>

#include "data/image_grid.h"
#include "experiments/report/gallery.h"
#include "experiments/report/page.h"
#include "experiments/report/svg.h"
#include "tensor/ops.h"
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
  section.pictures = {{"plots/p.svg", "a plot"}};  // as older sections have them
  section.runs = {{"short", "c1", "CPU", "fp32", "cpu", "", 0, {3600, 1800}},
                  {"long", "c1", "CPU", "fp32", "cpu", "short", 2, {3600, 1800, 1800}}};
  section.verdicts = {{"equivalent", 3}, {"differs", 1}};
  return section;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
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
                                       {{"table1", "Table 1", "table1"}})
                               .html;
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
  const std::string smaller = report_page(folder.path().string(), {scaled, last}, {}).html;
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

TEST_CASE("page: a picture that is not there is a box in its place, and the page is whole") {
  const TemporaryFolder folder;
  write_file(folder / "text.png", "no picture");
  Section section = small_section();
  section.pictures.push_back({"text.png", "text"});
  section.pictures.push_back({"../outside.png", "from elsewhere"});
  section.damaged = {"table3.json is malformed"};
  const Page page = report_page(folder.path().string(), {section}, {});
  REQUIRE(page.damaged.size() == 4);
  for (const char* what : {"table3.json", "plots/p.svg", "text.png", "../outside.png"})
    CHECK(count(page.html, what) >= 2);  // at the head of the page and in its place
  CHECK(contains(page.html, "Table &lt;3&gt;"));
  CHECK(page.html.ends_with("</html>\n"));
}

TEST_CASE("page: images of the same originals are stored once each and share a row of originals") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "f");
  const auto images = [](float value) { return ops::full({2, 4, 4, 3}, value, {}); };
  for (const char* name : {"a", "b", "c"})
    write_image_grid(folder / (std::string("f/") + name + ".png"), {images(0), images(1)}, 3);
  Section section = small_section();
  section.pictures.clear();
  for (const char* name : {"a", "b", "c"})
    section.pictures.push_back({.file = std::string("f/") + name + ".png",
                                .caption = std::string("caption ") + name,
                                .label = std::string("label ") + name,
                                .originals = std::string(name) == "c" ? "others" : "these",
                                .images = 2});
  const std::string page = report_page(folder.path().string(), {section}, {}).html;
  CHECK(count(page, "<image ") == 3);
  // two groups, and the first screen
  CHECK(count(page, "<span>originals</span>") == 3);
  CHECK(count(page, "viewBox=\"0 14 26 12\"") == 4);  // the second row, behind 12 pixels and a gap
  CHECK(contains(page, "<span>ours, label c</span>"));
}

TEST_CASE("table: numbers are to the right, and the best of a column is marked") {
  const Table table{.columns = {"beta", "Test Recon", "PSNR", "Perplexity", "why"},
                    .rows = {{"1", "0.0095 ± 0.0002", "19.9", "5", "a"},
                             {"2", "0.0102 ± 0.0002", "21.1", "6", "b"},
                             {"3", "failed", "–", "7", "c"}}};
  const std::string html = table.html();
  CHECK(count(html, "class=\"best\"") == 2);
  CHECK(contains(html, "of the column\">0.0095 ± 0.0002<"));
  CHECK(contains(html, "of the column\">21.1<"));
  CHECK(contains(html, "<th scope=\"row\">1</th>"));
  CHECK(contains(html, "<td class=\"n\">7</td>"));
  CHECK(contains(html, "<td>c</td>"));
}

TEST_CASE("section: a plot comes back from the JSON with its gaps and its band") {
  const TemporaryFolder folder;
  Section section = small_section();
  Plot plot{.file = "q", .title = "t", .curves = {epoch_curve("a", {1, NAN, 4}, 3, true)}};
  plot.curves[0].low = {0.5, NAN, 3};
  plot.curves[0].high = {2, NAN, 5};
  plot.panels = {{"panel", {{0, 1, 7, false}, {2, 3, 0, true}}}};
  section.pictures = {{.file = "plots/q.svg", .caption = "c", .images = 2, .plot = plot}};
  write_section(folder.path().string(), section);
  const Section read = read_section(folder / "table3.json");
  REQUIRE(read.pictures.size() == 1);
  REQUIRE(read.pictures[0].plot.has_value());
  CHECK(svgs_of(*read.pictures[0].plot) == svgs_of(plot));
  CHECK(section_text(read) == section_text(section));
  std::string text = section_text(section);
  text.replace(text.find("0.5"), 3, "0.5, 1");
  write_file(folder / "table3.json", text);
  CHECK(contains(error_of([&] { read_section(folder / "table3.json"); }), "table3.json"));
}

TEST_CASE("plot: the CSV has a row for every x and empty cells where a curve has none") {
  const TemporaryFolder folder;
  const std::string results = folder.path().string();
  const Plot plot{.file = "p",
                  .title = "it's",
                  .y_label = "loss",
                  .log_y = true,
                  .curves = {epoch_curve("a", {1, 2, 4}, 0), epoch_curve("b", {3, NAN}, 1, true)}};
  write_plot(results, plot);
  CHECK(read_file(results + "/plots/p.csv") == "epoch,a,b\n1,1,3\n2,2,\n3,4,\n");
  const std::string script = read_file(results + "/plots/p.gp");
  CHECK(contains(script, "set title 'it''s'"));
  CHECK(contains(script, "set logscale y"));
  CHECK(contains(script, "set ytics (1, 1.5, 2, 3)"));
  CHECK(contains(read_file(results + "/plots/p.svg"), "</svg>"));
}

TEST_CASE("plot: the SVG has every value as text, a gap where there is none, and escaped names") {
  Plot plot{.title = "t", .curves = {epoch_curve("<a>", {0.25, NAN, 1}, 9)}};
  std::string svg = svgs_of(plot)[0];
  CHECK(contains(svg, "data-name=\"&lt;a&gt;\" data-x=\"1 3\" data-y=\"0.25 1\""));
  CHECK(contains(svg, "<title>&lt;a&gt;, 3: 1</title>"));
  CHECK_FALSE(contains(svg, "nan"));
  CHECK_FALSE(contains(svg, "class=\"band\""));
  CHECK(contains(svg, "class=\"curve c1\""));  // eight colours
  const size_t path = svg.find("class=\"line\" d=\"");
  CHECK(count(svg.substr(path, svg.find("fill", path) - path), "M") == 2);
  plot.curves[0].low = {0.2, NAN, 0.5};
  plot.curves[0].high = {0.3, NAN, 2};
  svg = svgs_of(plot)[0];
  CHECK(contains(svg, "class=\"band\""));
  CHECK(contains(svg, ">2</text>"));  // the axis covers the band
}

TEST_CASE("plot: ticks of a logarithmic axis; a linear one where they would be too few") {
  CHECK(log_ticks(0.9, 3.2) == std::vector<double>{1, 1.5, 2, 3});
  CHECK(log_ticks(1.1, 1.4).empty());
  CHECK(log_ticks(0, 10).empty());
  CHECK(log_ticks(-1, 10).empty());
  CHECK(log_ticks(1e-30, 1e30).size() < 70);
}

TEST_CASE("plot: values of any size and none at all are drawn") {
  for (const std::vector<double>& y :
       {std::vector<double>{}, {NAN}, {1e308, -1e308}, {1e17, 1e17 + 32}, {5, 5}, {0, 1e-320}})
    for (const bool log_y : {false, true}) {
      const Plot plot{.log_y = log_y, .curves = {epoch_curve("a", y, 0)}};
      const std::string svg = svgs_of(plot)[0];
      CHECK(svg.ends_with("</svg>\n"));
      CHECK_FALSE(contains(svg, "inf"));
    }
}

TEST_CASE("plot: a codebook has a picture for each panel, and crosses for dead codes") {
  const TemporaryFolder folder;
  Section section;
  const Plot plot{.file = "c",
                  .panels = {{"panel", {{0, 0, 5, false}, {1, 2, 0, true}}}, {"2", {}}}};
  add_plot(section, folder.path().string(), plot, "caption");
  CHECK(section.notes.empty());
  REQUIRE(section.pictures.size() == 1);
  CHECK(read_file(folder / "plots/c.csv") == "panel,x,y,count,dead\n0,0,0,5,0\n0,1,2,0,1\n");
  CHECK(svgs_of(plot).size() == 2);
  CHECK(count(svgs_of(plot)[0], "<circle") == 1);
  const Page page = report_page(folder.path().string(), {section}, {});
  CHECK(count(page.html, "<svg class=\"plot\"") == 2);
}

TEST_CASE("plot: nothing in a name or a folder's name is executed") {
  const TemporaryFolder temporary;
  const std::string results = temporary / "it's; touch shell";
  Plot plot{.file = "p",
            .title = "`touch backquotes`",
            .y_label = "loss",
            .log_y = false,
            .curves = {epoch_curve("a'\nsystem 'touch gnuplot'\n#", {1, 2}, 0)}};
  write_plot(results, plot);
  // gnuplot, where there is one, draws the script as it is
  const std::string gnuplot = environment("GNUPLOT").value_or("gnuplot");
  write_file(temporary / "draw.sh", "cd \"$FOLDER\" && exec \"$GNUPLOT\" p.gp\n");
  const Ended drawn =
      run("sh " + (temporary / "draw.sh"), {"FOLDER=" + results + "/plots", "GNUPLOT=" + gnuplot});
  if (drawn.code != 127) CHECK(contains(read_file(results + "/plots/p-gnuplot.svg"), "</svg>"));
  for (const auto& entry : fs::recursive_directory_iterator(temporary.path())) {
    const std::string name = entry.path().filename().string();
    CHECK_FALSE((name == "shell" || name == "backquotes" || name == "gnuplot"));
  }
}

}  // namespace versor::testing
