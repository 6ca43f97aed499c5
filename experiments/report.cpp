// Tables and pages: see report.h.
#include "experiments/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

// Cells with a comma, quote or line break stand in quotes, their own quotes doubled (RFC 4180).
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
  std::string text = "# " + title + "\n\n";
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
  std::string text = "<h1>" + html_escape(title) + "</h1>\n<p>";
  for (const std::string& note : notes) text += html_escape(note) + "<br>\n";
  text += "</p>\n<table>\n<tr>";
  for (const std::string& c : columns) text += "<th>" + html_escape(c) + "</th>";
  text += "</tr>\n";
  for (const auto& row : rows) {
    text += "<tr>";
    for (const std::string& cell : row) text += "<td>" + html_escape(cell) + "</td>";
    text += "</tr>\n";
  }
  return text + "</table>\n";
}

std::string svg_plot(const std::string& title, const std::vector<Curve>& curves) {
  constexpr double kWidth = 560, kHeight = 300, kLeft = 60, kRight = 150, kTop = 30, kBottom = 40;
  constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000"};
  double low = INFINITY, high = -INFINITY;
  size_t epochs = 1;
  for (const Curve& c : curves) {
    epochs = std::max(epochs, c.y.size());
    for (double y : c.y) {
      low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  if (!(high > low)) high = low + 1;
  const auto px = [&](size_t i) {
    const double span = epochs > 1 ? static_cast<double>(epochs - 1) : 1.0;
    return kLeft + (kWidth - kLeft - kRight) * static_cast<double>(i) / span;
  };
  const auto py = [&](double y) {
    return kTop + (kHeight - kTop - kBottom) * (high - y) / (high - low);
  };
  std::string svg = fmt::format(
      "<svg width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<text x=\"{}\" y=\"18\">{}</text>\n",
      kWidth, kHeight, kLeft, html_escape(title));
  for (int tick = 0; tick <= 4; ++tick) {
    const double y = low + (high - low) * tick / 4;
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
        kLeft, kWidth - kRight, py(y), kLeft - 6, py(y) + 4, y);
  }
  for (size_t c = 0; c < curves.size(); ++c) {
    const char* colour = kColours[c % std::size(kColours)];
    std::string points;
    for (size_t i = 0; i < curves[c].y.size(); ++i)
      points += fmt::format("{:.1f},{:.1f} ", px(i), py(curves[c].y[i]));
    svg += fmt::format(
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\"/>"
        "<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n",
        colour, points, kWidth - kRight + 12, kTop + 16 * (c + 1), colour,
        html_escape(curves[c].name));
  }
  svg += fmt::format(
      "<text x=\"{}\" y=\"{}\">1</text><text x=\"{}\" y=\"{}\" "
      "text-anchor=\"end\">epoch {}</text>\n</svg>\n",
      kLeft, kHeight - 18, kWidth - kRight, kHeight - 18, epochs);
  return svg;
}

std::string html_picture(const std::string& file, const std::string& caption) {
  return fmt::format("<figure><img src=\"{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>\n",
                     html_escape(file), html_escape(caption), html_escape(caption));
}

std::string html_page(const std::string& title, const std::string& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
         html_escape(title) +
         "</title>\n<style>body{font-family:sans-serif;margin:2em;max-width:70em}"
         "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.3em .8em;"
         "text-align:left}img{max-width:100%}figure{margin:1em 0}</style></head><body>\n" +
         body + "</body></html>\n";
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
