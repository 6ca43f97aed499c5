// Tables and pages: one Table is printed on the terminal, written as Markdown and CSV, and set into
// an HTML page with pictures and curves.
#pragma once

#include <string>
#include <vector>

namespace versor {

struct Table {
  std::string title;
  std::vector<std::string> notes;  // printed under the title: size, data, seeds, commit
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  std::string markdown() const;
  std::string csv() const;
  std::string terminal() const;
  std::string html() const;
};

// A line of a plot: y over epochs 1, 2, ...
struct Curve {
  std::string name;
  std::vector<double> y;
};
// A small line plot as SVG text.
std::string svg_plot(const std::string& title, const std::vector<Curve>& curves);

// A picture with what it shows, for a page.
std::string html_picture(const std::string& file, const std::string& caption);
std::string html_page(const std::string& title, const std::string& body);
std::string html_escape(const std::string& text);

}  // namespace versor
