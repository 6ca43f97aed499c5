// Tables in all four forms, character by character, and the plots of a page.
#include <doctest/doctest.h>

#include "experiments/report.h"
#include "tests/data/temporary_folder.h"

namespace versor::testing {
namespace {

Table small_table() {
  Table table;
  table.title = "Two <rows>";
  table.notes = {"first note", "a & b"};
  table.columns = {"beta", "Loss"};
  table.rows = {{"0.1", "0.0095 ± 0.0002"}, {"0.25", "\"x\""}};
  return table;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

// The "x,y x,y ..." of the polyline with that number.
std::string points_of(const std::string& svg, int number) {
  size_t at = 0;
  for (int i = 0; i <= number; ++i) at = svg.find("points=\"", at) + 8;
  return svg.substr(at, svg.find('"', at) - at);
}

}  // namespace

TEST_CASE("report: a table as Markdown") {
  CHECK(small_table().markdown() ==
        "# Two <rows>\n\nfirst note  \na & b  \n\n"
        "| beta | Loss |\n|---|---|\n| 0.1 | 0.0095 ± 0.0002 |\n| 0.25 | \"x\" |\n");
}

TEST_CASE("report: a table as CSV") {
  Table table = small_table();
  table.rows[1][1] = "0.0516";
  CHECK(table.csv() == "beta,Loss\n0.1,0.0095 ± 0.0002\n0.25,0.0516\n");
}

TEST_CASE("report: cells with commas and quotes stay one cell of the CSV") {
  Table table = small_table();
  table.rows[0][1] = "1,5";
  CHECK(table.csv() == "beta,Loss\n0.1,\"1,5\"\n0.25,\"\"\"x\"\"\"\n");
}

TEST_CASE("report: a table for the terminal lines up, also under a letter of two bytes") {
  Table table = small_table();
  table.columns.push_back("last");
  table.rows[0].push_back("1");
  table.rows[1].push_back("2");
  CHECK(table.terminal() ==
        "Two <rows>\nfirst note\na & b\n\n"
        "beta  Loss             last\n"
        "0.1   0.0095 ± 0.0002  1\n"
        "0.25  \"x\"              2\n");
}

TEST_CASE("report: a table as HTML, escaped") {
  CHECK(small_table().html() ==
        "<h1>Two &lt;rows&gt;</h1>\n<p>first note<br>\na &amp; b<br>\n</p>\n"
        "<table>\n<tr><th>beta</th><th>Loss</th></tr>\n"
        "<tr><td>0.1</td><td>0.0095 ± 0.0002</td></tr>\n"
        "<tr><td>0.25</td><td>&quot;x&quot;</td></tr>\n</table>\n");
}

TEST_CASE("report: escaping for HTML") {
  CHECK(html_escape("a<b>&\"c\"&amp;") == "a&lt;b&gt;&amp;&quot;c&quot;&amp;amp;");
  CHECK(html_escape("") == "");
  const std::string picture = html_picture("a\"b.png", "1 < 2");
  CHECK(contains(picture, "src=\"a&quot;b.png\""));
  CHECK(count(picture, "1 &lt; 2") == 2);  // the caption, and the text for who sees no pictures
  const std::string page = html_page("x < y", "<p>body</p>");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(contains(page, "<title>x &lt; y</title>"));
  CHECK(contains(page, "<p>body</p>"));
  CHECK(contains(page, "charset=\"utf-8\""));
  CHECK(page.ends_with("</body></html>\n"));
}

TEST_CASE("report: a plot has one line per curve, named and of its own colour") {
  const std::string svg =
      svg_plot("a < b", {{"beta 0.1", {1, 2, 3}}, {"beta <2>", {3, 2}}, {"third", {2}}});
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<polyline ") == 3);
  CHECK(contains(svg, ">a &lt; b</text>"));
  CHECK(contains(svg, ">beta 0.1</text>"));
  CHECK(contains(svg, ">beta &lt;2&gt;</text>"));
  CHECK(contains(svg, ">epoch 3</text>"));
  CHECK(count(svg, "stroke=\"#0072b2\"") == 1);
  CHECK(count(svg, "stroke=\"#d55e00\"") == 1);
  CHECK(count(svg, "stroke=\"#009e73\"") == 1);
}

// The frame: x from 60 to 410, y from 30 (largest value) to 260 (smallest).
TEST_CASE("report: a plot's points lie where their values are") {
  const std::string svg = svg_plot("", {{"a", {1, 2, 5}}, {"b", {3, 3}}});
  CHECK(points_of(svg, 0) == "60.0,260.0 235.0,202.5 410.0,30.0 ");
  CHECK(points_of(svg, 1) == "60.0,145.0 235.0,145.0 ");
  for (const char* tick : {">1</text>", ">2</text>", ">3</text>", ">4</text>", ">5</text>"})
    CHECK(contains(svg, tick));
}

TEST_CASE("report: plots of one epoch and of a constant have finite points") {
  const std::string one = svg_plot("", {{"a", {0.5}}});
  CHECK(points_of(one, 0) == "60.0,260.0 ");
  const std::string constant = svg_plot("", {{"a", {2, 2}}});
  CHECK(points_of(constant, 0) == "60.0,260.0 410.0,260.0 ");
  for (const std::string& svg : {one, constant}) {
    CHECK_FALSE(contains(svg, "nan"));
    CHECK_FALSE(contains(svg, "inf"));
  }
}

}  // namespace versor::testing
