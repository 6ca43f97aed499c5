// Plots: see plot.h. Colours: Okabe and Ito, "Color Universal Design" (2008); no two neighbours in
// the list differ only in red and green. Curves of one colour differ in dashes and marks as well.
#include "experiments/report/plot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>

#include "tensor/environment.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#56b4e9", "#e69f00", "#000000", "#8a7700"};
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
      "set output '{0}.svg'\n"
      "set datafile separator comma\n",
      file, width, height);
}

// Runs gnuplot in the folder of the script. False if there is no such program.
bool run_gnuplot(const std::string& folder, const std::string& file) {
  std::string program = environment("GNUPLOT").value_or("gnuplot");
  if (program.find('/') != std::string::npos) program = std::filesystem::absolute(program).string();
  const std::string script = file + ".gp", log = folder + "/" + file + ".log";
  constexpr int kNotFound = 127;
  const pid_t id = fork();
  check(id >= 0, "plot", "cannot start ", program, ": ", std::strerror(errno));
  if (id == 0) {  // without a shell, which would interpret quotes in the folder's name
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (dup2(out, 1) == 1 && dup2(out, 2) == 2 && chdir(folder.c_str()) == 0)
      execlp(program.c_str(), program.c_str(), script.c_str(), nullptr);
    _exit(kNotFound);
  }
  int status = 0;
  while (waitpid(id, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string said = std::filesystem::exists(log) ? read_file(log) : "";
  std::filesystem::remove(log);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotFound) return false;
  check(status == 0, "plot", "gnuplot cannot draw ", folder, "/", file, ".gp: ", said);
  return true;
}

// A logarithmic axis over the range of the values, with ticks at 1, 1.5, 2, 3, 5, 7 times powers of
// ten, or 1, 2, 5 if these are too many. Empty, for a linear axis, if there would be fewer than
// three ticks or if some values are not positive.
std::string log_axis(const std::vector<Curve>& curves) {
  double low = INFINITY, high = -INFINITY;
  for (const Curve& curve : curves)
    for (double y : curve.y)
      if (std::isfinite(y)) {
        low = std::min(low, y);
        high = std::max(high, y);
      }
  if (!(low > 0 && high > low)) return "";
  low /= 1.05;
  high *= 1.05;
  const auto ticks = [&](std::initializer_list<double> digits) {
    std::vector<std::string> all;
    for (int power = static_cast<int>(std::floor(std::log10(low))); std::pow(10, power) <= high;
         ++power)
      for (double digit : digits)
        if (const double at = digit * std::pow(10, power); at >= low && at <= high)
          all.push_back(fmt::format("{:g}", at));
    return all;
  };
  std::vector<std::string> at = ticks({1, 1.5, 2, 3, 5, 7});
  if (at.size() > 9) at = ticks({1, 2, 5});
  if (at.size() > 12) at = ticks({1});
  if (at.size() < 3) return "";
  std::string list;
  for (const std::string& tick : at) list += (list.empty() ? "" : ", ") + tick;
  return fmt::format("set logscale y\nset yrange [{:g}:{:g}]\nset ytics ({})\n", low, high, list);
}

bool write_and_run(const std::string& results, const std::string& file, const std::string& csv,
                   const std::string& script) {
  const std::string folder = results + "/plots";
  std::filesystem::create_directories(folder);
  write_file(folder + "/" + file + ".csv", csv);
  write_file(folder + "/" + file + ".gp", script);
  return run_gnuplot(folder, file);
}

}  // namespace

Curve epoch_curve(const std::string& name, const std::vector<double>& y, int colour, bool dashed) {
  Curve curve{name, {}, y, colour, dashed ? 1 : 0};
  for (size_t i = 1; i <= y.size(); ++i) curve.x.push_back(static_cast<double>(i));
  return curve;
}

bool draw(const std::string& results, const LinePlot& plot) {
  // One row for each x of any curve; curves without that x have an empty cell.
  std::map<double, std::vector<std::string>> rows;
  std::string csv = plot.x_label;
  // Makes room for a single column of names; two columns would take half the width.
  const int height = std::max(460, 100 + 26 * static_cast<int>(plot.curves.size()));
  std::string script = heading(plot.file, 900, height);
  for (size_t c = 0; c < plot.curves.size(); ++c) {
    const Curve& curve = plot.curves[c];
    csv += "," + curve.name;
    for (size_t i = 0; i < curve.x.size(); ++i) {
      auto& cells = rows[curve.x[i]];
      cells.resize(plot.curves.size());
      if (std::isfinite(curve.y[i])) cells[c] = fmt::format("{:.8g}", curve.y[i]);
    }
  }
  csv += "\n";
  for (const auto& [x, cells] : rows) {
    csv += fmt::format("{:g}", x);
    for (const std::string& cell : cells) csv += "," + cell;
    csv += "\n";
  }
  script += fmt::format(
      "set title {}\nset xlabel {}\nset ylabel {}\nset grid lc rgb '#dddddd' dt 1\n"
      "set border 3\nset tics nomirror\nset key outside right top Left reverse samplen 2.5\n",
      quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label));
  if (plot.log_y) script += log_axis(plot.curves);
  if (rows.size() == 1)
    script += fmt::format("set xrange [{0:g}:{1:g}]\nset xtics ({2:g})\n", rows.begin()->first - 1,
                          rows.begin()->first + 1, rows.begin()->first);
  else if (rows.size() < 12)
    script += "set xtics 1\n";
  script += "plot \\\n";
  for (size_t c = 0; c < plot.curves.size(); ++c) {
    const Curve& curve = plot.curves[c];
    // Long curves have no marks, which would overlap.
    const char* style = curve.x.size() <= 20 ? "linespoints" : "lines";
    script += fmt::format(
        "  '{}.csv' skip 1 using 1:{} with {} lc rgb '{}' dt {} lw {} pt {} ps 0.6 title {}{}\n",
        plot.file, c + 2, style, kColours[curve.colour % std::size(kColours)], curve.dash + 1,
        curve.dash > 0 ? "1.5" : "2.5", kMarks[curve.dash], quoted(curve.name),
        c + 1 < plot.curves.size() ? ", \\" : "");
  }
  return write_and_run(results, plot.file, csv, script);
}

bool draw(const std::string& results, const CodebookPlot& plot) {
  const auto panels = static_cast<int>(plot.panels.size());
  const int columns = std::min(panels, 4), rows = (panels + columns - 1) / columns;
  std::string csv = "panel,x,y,count,dead\n";
  std::string script = heading(plot.file, 300 * columns, 330 * rows + 30);
  script += fmt::format(
      "set multiplot layout {},{} title {}\nunset key\nunset tics\nset border lc rgb '#999999'\n"
      "set lmargin 1\nset rmargin 1\nset bmargin 0.5\nset tmargin 2.5\n",
      rows, columns, quoted(plot.title));
  for (int p = 0; p < panels; ++p) {
    const Panel& panel = plot.panels[static_cast<size_t>(p)];
    int64_t most = 1, least = INT64_MAX;
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (const CodePoint& point : panel.points) {
      most = std::max(most, point.count);
      least = std::min(least, point.count);
      for (const auto& [axis, at] : {std::pair(0, point.x), std::pair(1, point.y)}) {
        low[axis] = std::min(low[axis], at);
        high[axis] = std::max(high[axis], at);
      }
      csv += fmt::format("{},{:.6g},{:.6g},{},{}\n", p, point.x, point.y, point.count,
                         point.dead ? 1 : 0);
    }
    if (least == most) most *= 16;  // nothing to tell apart: small points
    const double half = 0.54 * std::max({high[0] - low[0], high[1] - low[1], 1e-6});
    const double x = (low[0] + high[0]) / 2, y = (low[1] + high[1]) / 2;
    script += fmt::format("set title {}\nset xrange [{:g}:{:g}]\nset yrange [{:g}:{:g}]\n",
                          quoted(panel.title), x - half, x + half, y - half, y + half);
    // The area of a point is proportional to how often its code is used.
    script += fmt::format(
        "plot '{0}.csv' skip 1 using ($1=={1} && $5==1 ? $2 : NaN):3 with points pt 2 ps 0.4 "
        "lc rgb '#d55e00', \\\n"
        "     '{0}.csv' skip 1 using ($1=={1} && $5==0 ? $2 : NaN):3:(0.2+1.2*sqrt($4/{2}.0)) "
        "with points pt 7 ps variable lc rgb '#800072b2'\n",
        plot.file, p, most);
  }
  script += "unset multiplot\n";
  return write_and_run(results, plot.file, csv, script);
}

}  // namespace versor
