// Tables: see table.h.
#include "experiments/report/table.h"

#include <algorithm>

namespace versor {
namespace {

// Characters as a reader counts them: continuation bytes of UTF-8 take no place.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string padded(const std::string& text, size_t to) {
  return text + std::string(to - std::min(to, width(text)), ' ');
}

std::string joined(const std::vector<std::string>& cells, const char* separator) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) line += (i ? separator : "") + cells[i];
  return line;
}

// Cells with a comma, quote or line break are quoted, and quotes in them doubled (RFC 4180).
std::string csv_line(std::vector<std::string> cells) {
  for (std::string& cell : cells) {
    if (cell.find_first_of(",\"\n") == std::string::npos) continue;
    std::string quoted = "\"";
    for (char c : cell) quoted += c == '"' ? "\"\"" : std::string(1, c);
    cell = quoted + "\"";
  }
  return joined(cells, ",") + "\n";
}

}  // namespace

std::string Table::markdown() const {
  std::string text = "## " + title + "\n\n";
  for (const std::string& note : notes) text += note + "  \n";
  text += "\n| " + joined(columns, " | ") + " |\n|";
  for (size_t i = 0; i < columns.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : rows) text += "| " + joined(row, " | ") + " |\n";
  return text;
}

std::string Table::csv() const {
  std::string text = csv_line(columns);
  for (const auto& row : rows) text += csv_line(row);
  return text;
}

std::string Table::terminal() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns.size(); ++c) {
    size_t widest = width(columns[c]);
    for (const auto& row : rows) widest = std::max(widest, width(row[c]));
    widths.push_back(widest);
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t c = 0; c < cells.size(); ++c) text += padded(cells[c], widths[c]) + "  ";
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text = title + "\n";
  for (const std::string& note : notes) text += note + "\n";
  text += "\n" + line(columns);
  for (const auto& row : rows) text += line(row);
  return text;
}

std::string Table::html() const {
  std::string text = "<h3>" + html_escape(title) + "</h3>\n<p>";
  for (const std::string& note : notes) text += html_escape(note) + "<br>\n";
  text += "</p>\n<div class=\"wide\"><table>\n<tr>";
  for (const std::string& c : columns) text += "<th>" + html_escape(c) + "</th>";
  text += "</tr>\n";
  for (const auto& row : rows) {
    text += "<tr>";
    for (const std::string& cell : row) text += "<td>" + html_escape(cell) + "</td>";
    text += "</tr>\n";
  }
  return text + "</table></div>\n";
}

std::string html_escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

}  // namespace versor
