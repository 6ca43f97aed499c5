// Tables: see table.h.
#include "experiments/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

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

std::string csv_line(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = csv_cell(cell);
  return joined(cells, ",") + "\n";
}

// The number that a cell begins with: "0.0095 ± 0.0002".
std::optional<double> leading_number(const std::string& cell) {
  const char* begin = cell.data() + (cell.starts_with('+') ? 1 : 0);
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, cell.data() + cell.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return {};
  return value;
}

// Whether a column is read as numbers: most of its cells are, apart from those without a value.
bool is_numeric(const std::vector<std::vector<std::string>>& rows, size_t column) {
  size_t numbers = 0, cells = 0;
  for (const auto& row : rows) {
    if (column >= row.size()) continue;
    std::string cell = row[column];
    for (const char* sign : {"× ", "["})
      if (cell.starts_with(sign)) cell.erase(0, std::string_view(sign).size());
    if (cell.empty() || cell == "–" || cell == "failed") continue;
    ++cells;
    numbers += leading_number(cell).has_value();
  }
  return numbers > 0 && 3 * numbers >= 2 * cells;
}

// The best cell of a column whose heading says which direction is better; "" if it does not, or
// where there is nothing to compare.
std::string best_of(const std::vector<std::vector<std::string>>& rows, size_t column,
                    const std::string& heading) {
  const auto has = [&](const char* word) { return heading.find(word) != std::string::npos; };
  const bool higher = has("PSNR") || has("SSIM");
  const bool lower = (has("Recon") && !has("against")) || has("MSE") || has("mse(");
  if (!higher && !lower) return "";
  std::string best;
  std::set<double> values;
  for (const auto& row : rows) {
    const auto value = column < row.size() ? leading_number(row[column]) : std::nullopt;
    // a measurement, with or without its deviation; no "0 of 50"
    const bool deviation = value && row[column].find(" ±") != std::string::npos;
    if (!value || (row[column].find(' ') != std::string::npos && !deviation)) continue;
    values.insert(*value);
    if (*value == (higher ? *values.rbegin() : *values.begin())) best = row[column];
  }
  return values.size() > 1 ? best : "";
}

}  // namespace

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

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
  std::string text = fmt::format(
      "<div class=\"wide\" tabindex=\"0\"><table style=\"--columns:{}\" aria-label=\"{}\">\n"
      "<thead><tr>",
      columns.size(), html_escape(title));
  std::vector<bool> numeric;
  std::vector<std::string> best;
  for (size_t c = 0; c < columns.size(); ++c) {
    numeric.push_back(c > 0 && is_numeric(rows, c));
    best.push_back(numeric[c] ? best_of(rows, c, columns[c]) : "");
    text += fmt::format("<th scope=\"col\"{}>{}</th>", numeric[c] ? " class=\"n\"" : "",
                        html_escape(columns[c]));
  }
  text += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    text += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string cell = html_escape(row[c]);
      const bool number = c < numeric.size() && numeric[c];
      if (c == 0)
        text += "<th scope=\"row\">" + cell + "</th>";
      else if (number && !best[c].empty() && leading_number(row[c]) == leading_number(best[c]))
        text += "<td class=\"n\"><strong class=\"best\" title=\"best of the column\">" + cell +
                "</strong></td>";
      else
        text += fmt::format("<td{}>{}</td>", number ? " class=\"n\"" : "", cell);
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
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
