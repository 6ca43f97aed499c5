// Plots as files: see plot.h. Curves of one colour differ in dashes and marks as well.
#include "experiments/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "experiments/report/svg.h"
#include "experiments/report/table.h"
#include "tensor/file.h"

namespace versor {
namespace {

constexpr int kMarks[] = {7, 4, 9};  // by dash: a disc, an open square, a triangle

// In gnuplot's single quotes, quotes are doubled and nothing is substituted; "noenhanced" text
// keeps underscores. File names are outside data: a line break in one would start a new command.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') out += c;
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "'";
}

std::string heading(const std::string& file, int width, int height) {
  return fmt::format(
      "# redraw: gnuplot {0}.gp\n"
      "set terminal svg size {1},{2} dynamic noenhanced font 'sans-serif,14' background '#ffffff'\n"
      "set output '{0}-gnuplot.svg'\n"
      "set datafile separator comma\n",
      file, width, height);
}

// The lines that make the y axis logarithmic; none where it stays linear.
std::string log_axis(const std::vector<Curve>& curves) {
  const Range range = range_of(curves);
  std::string list;
  for (const double tick : log_ticks(range.low / 1.05, range.high * 1.05))
    list += fmt::format("{}{:g}", list.empty() ? "" : ", ", tick);
  if (list.empty()) return "";
  return fmt::format("set logscale y\nset yrange [{:g}:{:g}]\nset ytics ({})\n", range.low / 1.05,
                     range.high * 1.05, list);
}

// One row for each x of any curve; curves without that x have an empty cell. A band is two columns
// more.
std::string csv_of_curves(const Plot& plot) {
  std::map<double, std::map<size_t, std::string>> rows;
  std::string csv = plot.x_label;
  size_t column = 0;
  const auto add = [&](const Curve& curve, const std::string& name, const std::vector<double>& y) {
    csv += "," + csv_cell(name);
    for (size_t i = 0; i < y.size(); ++i) {
      auto& cells = rows[curve.x[i]];
      if (std::isfinite(y[i])) cells[column] = fmt::format("{:.8g}", y[i]);
    }
    ++column;
  };
  for (const Curve& curve : plot.curves) {
    add(curve, curve.name, curve.y);
    if (curve.low.empty()) continue;
    add(curve, curve.name + " from", curve.low);
    add(curve, curve.name + " to", curve.high);
  }
  csv += "\n";
  for (auto& [x, cells] : rows) {
    csv += fmt::format("{:g}", x);
    for (size_t c = 0; c < column; ++c) csv += "," + cells[c];
    csv += "\n";
  }
  return csv;
}

std::string x_axis(const std::vector<Curve>& curves) {
  std::set<double> all;
  for (const Curve& curve : curves) all.insert(curve.x.begin(), curve.x.end());
  if (all.size() == 1)
    return fmt::format("set xrange [{0:g}:{1:g}]\nset xtics ({2:g})\n", *all.begin() - 1,
                       *all.begin() + 1, *all.begin());
  return all.size() < 12 ? "set xtics 1\n" : "";
}

std::string script_of_curves(const Plot& plot) {
  // Makes room for a single column of names; two columns would take half the width.
  const int height = std::max(460, 100 + 26 * static_cast<int>(plot.curves.size()));
  std::string script = heading(plot.file, 900, height);
  script += fmt::format(
      "set title {}\nset xlabel {}\nset ylabel {}\nset grid lc rgb '#dddddd' dt 1\n"
      "set border 3\nset tics nomirror\nset key outside right top Left reverse samplen 2.5\n",
      quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label));
  if (plot.log_y) script += log_axis(plot.curves);
  script += x_axis(plot.curves);
  std::string parts;
  size_t column = 2;
  for (const Curve& curve : plot.curves) {
    const char* colour = kPlotColours[static_cast<size_t>(curve.colour) % std::size(kPlotColours)];
    // Long curves have no marks, which would overlap.
    const char* style = curve.x.size() <= 20 ? "linespoints" : "lines";
    const char* separator = parts.empty() ? "" : ", \\\n";
    if (!curve.low.empty())
      parts += fmt::format(
          "{}  '{}.csv' skip 1 using 1:{}:{} with filledcurves lc rgb '{}' fs transparent solid "
          "0.2 noborder notitle",
          std::exchange(separator, ", \\\n"), plot.file, column + 1, column + 2, colour);
    parts += fmt::format(
        "{}  '{}.csv' skip 1 using 1:{} with {} lc rgb '{}' dt {} lw {} pt {} ps 0.6 title {}",
        separator, plot.file, column, style, colour, curve.dash + 1, curve.dash > 0 ? "1.5" : "2.5",
        kMarks[static_cast<size_t>(curve.dash) % std::size(kMarks)], quoted(curve.name));
    column += curve.low.empty() ? 1 : 3;
  }
  return script + "plot \\\n" + parts + "\n";
}

std::string csv_of_panels(const Plot& plot) {
  std::string csv = "panel,x,y,count,dead\n";
  for (size_t p = 0; p < plot.panels.size(); ++p)
    for (const CodePoint& point : plot.panels[p].points)
      csv += fmt::format("{},{:.6g},{:.6g},{},{}\n", p, point.x, point.y, point.count,
                         point.dead ? 1 : 0);
  return csv;
}

std::string script_of_panels(const Plot& plot) {
  const auto panels = static_cast<int>(plot.panels.size());
  const int columns = std::min(panels, 4), rows = (panels + columns - 1) / columns;
  std::string script = heading(plot.file, 300 * columns, 330 * rows + 30);
  script += fmt::format(
      "set multiplot layout {},{} title {}\nunset key\nunset tics\nset border lc rgb '#999999'\n"
      "set lmargin 1\nset rmargin 1\nset bmargin 0.5\nset tmargin 2.5\n",
      rows, columns, quoted(plot.title));
  for (int p = 0; p < panels; ++p) {
    const Panel& panel = plot.panels[static_cast<size_t>(p)];
    const Square square = square_around(panel.points);
    script += fmt::format("set title {}\nset xrange [{:g}:{:g}]\nset yrange [{:g}:{:g}]\n",
                          quoted(panel.title), square.x - square.half, square.x + square.half,
                          square.y - square.half, square.y + square.half);
    // The area of a point is proportional to how often its code is used.
    script += fmt::format(
        "plot '{0}.csv' skip 1 using ($1=={1} && $5==1 ? $2 : NaN):3 with points pt 2 ps 0.4 "
        "lc rgb '#d55e00', \\\n"
        "     '{0}.csv' skip 1 using ($1=={1} && $5==0 ? $2 : NaN):3:(0.2+1.2*sqrt($4/{2:g})) "
        "with points pt 7 ps variable lc rgb '#800072b2'\n",
        plot.file, p, square.most);
  }
  return script + "unset multiplot\n";
}

}  // namespace

Curve epoch_curve(const std::string& name, const std::vector<double>& y, int colour, bool dashed) {
  Curve curve{name, {}, y, colour, dashed ? 1 : 0};
  for (size_t i = 1; i <= y.size(); ++i) curve.x.push_back(static_cast<double>(i));
  return curve;
}

void write_plot(const std::string& results, const Plot& plot) {
  const bool curves = plot.panels.empty();
  std::filesystem::create_directories(results + "/plots");
  const std::string path = results + "/plots/" + plot.file;
  write_file(path + ".csv", curves ? csv_of_curves(plot) : csv_of_panels(plot));
  write_file(path + ".gp", curves ? script_of_curves(plot) : script_of_panels(plot));
  write_file(path + ".svg", svg_file(plot));
}

}  // namespace versor
