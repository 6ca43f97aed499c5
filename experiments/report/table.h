// A table: printed on the terminal, written as Markdown and CSV, put on an HTML page.
#pragma once

#include <string>
#include <vector>

namespace versor {

struct Table {
  std::string file = {};  // its CSV without the ending: "table3"
  std::string title = {};
  std::vector<std::string> notes = {};  // printed under the title
  std::vector<std::string> columns = {};
  std::vector<std::vector<std::string>> rows = {};

  std::string markdown() const;
  std::string csv() const;
  std::string terminal() const;
  // The grid alone, without title and notes: numbers to the right, the best of a column marked.
  std::string html() const;
};

std::string html_escape(const std::string& text);
// A cell of a CSV file: one with a comma, quote or line break is quoted, and quotes in it are
// doubled (RFC 4180).
std::string csv_cell(const std::string& text);

}  // namespace versor
