// Tables in all four forms, character by character.
#include <doctest/doctest.h>

#include "experiments/report/table.h"

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

}  // namespace

TEST_CASE("table: a table as Markdown") {
  CHECK(small_table().markdown() ==
        "## Two <rows>\n\nfirst note  \na & b  \n\n"
        "| beta | Loss |\n|---|---|\n| 0.1 | 0.0095 ± 0.0002 |\n| 0.25 | \"x\" |\n");
}

TEST_CASE("table: a table as CSV") {
  Table table = small_table();
  table.rows[1][1] = "0.0516";
  CHECK(table.csv() == "beta,Loss\n0.1,0.0095 ± 0.0002\n0.25,0.0516\n");
}

TEST_CASE("table: cells with commas and quotes stay one cell of the CSV") {
  Table table = small_table();
  table.rows[0][1] = "1,5";
  CHECK(table.csv() == "beta,Loss\n0.1,\"1,5\"\n0.25,\"\"\"x\"\"\"\n");
}

TEST_CASE("table: a table for the terminal lines up, also under a letter of two bytes") {
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

TEST_CASE("table: a table as HTML, escaped") {
  CHECK(small_table().html() ==
        "<div class=\"wide\" tabindex=\"0\"><table style=\"--columns:2\" "
        "aria-label=\"Two &lt;rows&gt;\">\n<thead><tr><th scope=\"col\">beta</th>"
        "<th scope=\"col\">Loss</th></tr></thead>\n<tbody>\n"
        "<tr><th scope=\"row\">0.1</th><td>0.0095 ± 0.0002</td></tr>\n"
        "<tr><th scope=\"row\">0.25</th><td>&quot;x&quot;</td></tr>\n</tbody></table></div>\n");
}

TEST_CASE("table: escaping for HTML") {
  CHECK(html_escape("a<b>&\"c\"&amp;") == "a&lt;b&gt;&amp;&quot;c&quot;&amp;amp;");
  CHECK(html_escape("") == "");
}

}  // namespace versor::testing
