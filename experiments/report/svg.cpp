// Plots as SVG: see svg.h.
#include "experiments/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "experiments/report/table.h"

namespace versor {
namespace {

// In units of the picture, of which a letter is about 6.4 wide.
constexpr double kWidth = 480, kLeft = 54, kRight = 12, kTop = 30, kHeight = 220;
constexpr double kLetter = 6.4, kLegendRow = 17;
constexpr double kPanel = 240, kPanelTop = 22;
constexpr size_t kMostMarks = 20;  // in a curve; more would overlap
constexpr const char* kDashes[] = {"", " stroke-dasharray=\"7 4\"", " stroke-dasharray=\"2 3\""};

// An axis from low to high; `ticks` lie on it.
struct Axis {
  double low = 0, high = 1;
  bool log = false;
  std::vector<double> ticks = {};

  // 0 at low, 1 at high; not finite where a logarithmic axis has no place.
  double at(double v) const {
    return log ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
  }
};

// About five ticks at multiples of 1, 2 or 5 times a power of ten; whole numbers for `counts`.
Axis linear_axis(double low, double high, bool counts) {
  if (!(high > low)) {
    const double margin = counts ? 1 : std::max(std::abs(low) * 0.05, 1e-9);
    low -= margin;
    high += margin;
  }
  Axis axis{low, high};
  const double rough = (high - low) / 5;
  double step = std::pow(10, std::floor(std::log10(rough)));
  for (double factor : {5., 2.})
    if (rough > step * factor / 2) {
      step *= factor;
      break;
    }
  if (counts) step = std::max(step, 1.);
  const double first = std::ceil(low / step);
  for (int k = 0; k < 12 && (first + k) * step <= high + step * 1e-9; ++k)
    axis.ticks.push_back((first + k) * step);
  return axis;
}

Axis y_axis(const Plot& plot) {
  Range range = range_of(plot.curves);
  if (range.low > range.high) range = {0, 1};
  if (plot.log_y && range.low > 0) {
    const double low = range.low / 1.05, high = range.high * 1.05;
    if (const auto ticks = log_ticks(low, high); !ticks.empty()) return {low, high, true, ticks};
  }
  const double margin = (range.high - range.low) * 0.04;
  return linear_axis(range.low - margin, range.high + margin, false);
}

Axis x_axis(const Plot& plot) {
  double low = INFINITY, high = -INFINITY;
  bool counts = true;
  for (const Curve& curve : plot.curves)
    for (double x : curve.x) {
      if (!std::isfinite(x)) continue;
      low = std::min(low, x);
      high = std::max(high, x);
      counts = counts && x == std::floor(x);
    }
  return low > high ? Axis{} : linear_axis(low, high, counts);
}

std::string text(double x, double y, const char* anchor, const std::string& words,
                 const char* more = "") {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"currentColor\"{}>{}</text>\n", x,
      y, anchor, more, html_escape(words));
}

struct Place {
  Axis x, y;
  double left(double v) const { return kLeft + x.at(v) * (kWidth - kLeft - kRight); }
  double top(double v) const { return kTop + (1 - y.at(v)) * kHeight; }
};

std::string axes(const Plot& plot, const Place& at) {
  const double bottom = kTop + kHeight, right = kWidth - kRight;
  std::string svg = "<g stroke=\"#888\" stroke-opacity=\".35\">\n";
  for (double tick : at.y.ticks)
    svg += fmt::format("<path d=\"M{},{:.1f}H{}\"/>\n", kLeft, at.top(tick), right);
  for (double tick : at.x.ticks)
    svg += fmt::format("<path d=\"M{:.1f},{}V{}\"/>\n", at.left(tick), kTop, bottom);
  svg += fmt::format("</g><path d=\"M{0},{1}V{2}H{3}\" fill=\"none\" stroke=\"#888\"/>\n", kLeft,
                     kTop, bottom, right);
  for (double tick : at.y.ticks)
    svg += text(kLeft - 5, at.top(tick) + 4, "end", fmt::format("{:.5g}", tick));
  for (double tick : at.x.ticks)
    svg += text(at.left(tick), bottom + 16, "middle", fmt::format("{:.6g}", tick));
  svg += text((kLeft + right) / 2, bottom + 33, "middle", plot.x_label);
  svg +=
      text(kLeft, 16, "start",
           plot.title + (plot.y_label.empty() || plot.title.find(plot.y_label) != std::string::npos
                             ? std::string()
                             : ": " + plot.y_label),
           " font-weight=\"bold\"");
  return svg;
}

std::string mark(double x, double y, int dash) {
  if (dash == 0) return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\">", x, y);
  if (dash == 1)
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"none\">", x, y);
  return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"1.5\">", x, y);
}

std::string band(const Curve& curve, const Place& at) {
  std::string there, back;
  for (size_t i = 0; i < curve.low.size(); ++i) {
    const double x = at.left(curve.x[i]), low = at.top(curve.low[i]), high = at.top(curve.high[i]);
    if (!std::isfinite(x) || !std::isfinite(low) || !std::isfinite(high)) continue;
    there += fmt::format("{}{:.1f},{:.1f}", there.empty() ? "M" : "L", x, high);
    back = fmt::format("L{:.1f},{:.1f}", x, low) + back;
  }
  if (there.empty()) return "";
  return fmt::format("<path class=\"band\" d=\"{}{}Z\" fill-opacity=\".18\" stroke=\"none\"/>\n",
                     there, back);
}

// A curve's group carries its values, in the order of its path's points, for the page's script.
std::string line(const Curve& curve, const Place& at) {
  const size_t colour = static_cast<size_t>(curve.colour) % std::size(kPlotColours);
  const size_t dash = static_cast<size_t>(curve.dash) % std::size(kDashes);
  const bool marked = curve.x.size() <= kMostMarks;
  std::string path, xs, ys, marks;
  bool gap = true;
  for (size_t i = 0; i < curve.x.size(); ++i) {
    const double x = at.left(curve.x[i]), y = at.top(curve.y[i]);
    if (!std::isfinite(x) || !std::isfinite(y)) {
      gap = true;
      continue;
    }
    path += fmt::format("{}{:.1f},{:.1f}", std::exchange(gap, false) ? "M" : "L", x, y);
    xs += fmt::format("{}{:.6g}", xs.empty() ? "" : " ", curve.x[i]);
    ys += fmt::format("{}{:.5g}", ys.empty() ? "" : " ", curve.y[i]);
    if (marked)
      marks += mark(x, y, static_cast<int>(dash)) +
               fmt::format("<title>{}, {:.6g}: {:.5g}</title></circle>\n", html_escape(curve.name),
                           curve.x[i], curve.y[i]);
  }
  return fmt::format(
      "<g class=\"curve c{0}\" stroke=\"{1}\" fill=\"{1}\" data-name=\"{2}\" data-x=\"{3}\" "
      "data-y=\"{4}\">\n{5}<path class=\"line\" d=\"{6}\" fill=\"none\" stroke-width=\"{7}\"{8}>"
      "<title>{2}</title></path>\n{9}</g>\n",
      colour, kPlotColours[colour], html_escape(curve.name), xs, ys, band(curve, at), path,
      dash > 0 ? 1.6 : 2.2, kDashes[dash], marks);
}

// The names below the plot, in as many columns as the longest allows. Adds its height to `bottom`.
std::string legend(const std::vector<Curve>& curves, double& bottom) {
  size_t longest = 1;
  for (const Curve& curve : curves) longest = std::max(longest, curve.name.size());
  const double cell = static_cast<double>(longest) * kLetter + 42;
  const auto columns = static_cast<size_t>(std::max(1., std::floor((kWidth - 12) / cell)));
  std::string svg;
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const size_t colour = static_cast<size_t>(curve.colour) % std::size(kPlotColours);
    const size_t dash = static_cast<size_t>(curve.dash) % std::size(kDashes);
    const double x = 12 + static_cast<double>(i % columns) * cell;
    const double y = bottom + static_cast<double>(i / columns) * kLegendRow + 8;
    svg += fmt::format(
        "<g class=\"c{0}\" stroke=\"{1}\" fill=\"{1}\"><path d=\"M{2:.1f},{3:.1f}h24\" "
        "fill=\"none\" "
        "stroke-width=\"2.2\"{4}/></g>\n",
        colour, kPlotColours[colour], x, y - 4, kDashes[dash]);
    svg += text(x + 30, y, "start", curve.name);
  }
  bottom += static_cast<double>((curves.size() + columns - 1) / columns) * kLegendRow;
  return svg;
}

struct Drawing {
  double width, height;
  std::string inside, title;
};

Drawing drawing_of_curves(const Plot& plot) {
  const Place at{x_axis(plot), y_axis(plot)};
  std::string svg = axes(plot, at);
  for (const Curve& curve : plot.curves) svg += line(curve, at);
  double bottom = kTop + kHeight + 46;
  svg += legend(plot.curves, bottom);
  return {kWidth, bottom + 4, svg, plot.title};
}

// The area of a point is proportional to how often its code is used.
Drawing drawing_of_panel(const Panel& panel) {
  const Square square = square_around(panel.points);
  const auto place = [&](double v, double middle) {
    return kPanel / 2 + (v - middle) / square.half * kPanel / 2;
  };
  std::string crosses, points;
  for (const CodePoint& point : panel.points) {
    const double x = place(point.x, square.x), y = kPanelTop + kPanel - place(point.y, square.y);
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    if (point.dead)
      crosses += fmt::format("M{:.1f},{:.1f}l4,4m0,-4l-4,4", x - 2, y - 2);
    else
      points += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>", x, y,
                            1 + 4 * std::sqrt(static_cast<double>(point.count) / square.most));
  }
  const std::string svg =
      text(kPanel / 2, 15, "middle", panel.title) +
      fmt::format(
          "<rect x=\".5\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888\"/>\n"
          "<g class=\"c0\" fill=\"{}\" fill-opacity=\".5\">{}</g>\n"
          "<g class=\"c1\"><path d=\"{}\" fill=\"none\" stroke=\"{}\"/></g>\n",
          kPanelTop, kPanel - 1, kPanel, kPlotColours[0], points, crosses, kPlotColours[1]);
  return {kPanel, kPanelTop + kPanel + 2, svg, panel.title};
}

std::vector<Drawing> drawings_of(const Plot& plot) {
  if (plot.panels.empty()) return {drawing_of_curves(plot)};
  std::vector<Drawing> all;
  for (const Panel& panel : plot.panels) all.push_back(drawing_of_panel(panel));
  return all;
}

}  // namespace

std::vector<double> log_ticks(double low, double high) {
  if (!(low > 0 && high > low && std::isfinite(high))) return {};
  const auto ticks = [&](std::initializer_list<double> digits) {
    std::vector<double> all;
    for (double power = std::floor(std::log10(low)); std::pow(10, power) <= high; ++power)
      for (double digit : digits)
        if (const double at = digit * std::pow(10, power); at >= low && at <= high)
          all.push_back(at);
    return all;
  };
  std::vector<double> at = ticks({1, 1.5, 2, 3, 5, 7});
  if (at.size() > 9) at = ticks({1, 2, 5});
  if (at.size() > 12) at = ticks({1});
  if (at.size() < 3) return {};
  return at;
}

Range range_of(const std::vector<Curve>& curves) {
  Range range{INFINITY, -INFINITY};
  for (const Curve& curve : curves)
    for (const auto* values : {&curve.y, &curve.low, &curve.high})
      for (double v : *values)
        if (std::isfinite(v)) range = {std::min(range.low, v), std::max(range.high, v)};
  return range;
}

Square square_around(const std::vector<CodePoint>& points) {
  int64_t most = 1, least = INT64_MAX;
  Range x{INFINITY, -INFINITY}, y = x;
  for (const CodePoint& point : points) {
    most = std::max(most, point.count);
    least = std::min(least, point.count);
    x = {std::min(x.low, point.x), std::max(x.high, point.x)};
    y = {std::min(y.low, point.y), std::max(y.high, point.y)};
  }
  // where there is nothing to tell apart, small points
  const double largest = static_cast<double>(most) * (least == most ? 16 : 1);
  return {(x.low + x.high) / 2, (y.low + y.high) / 2,
          0.54 * std::max({x.high - x.low, y.high - y.low, 1e-6}), largest};
}

std::vector<std::string> svgs_of(const Plot& plot) {
  std::vector<std::string> all;
  for (const Drawing& drawing : drawings_of(plot))
    all.push_back(fmt::format(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {:.0f} {:.0f}\">\n{}"
        "</svg>\n",
        html_escape(drawing.title), drawing.width, drawing.height, drawing.inside));
  return all;
}

std::string svg_file(const Plot& plot) {
  constexpr size_t kColumns = 4;
  const auto all = drawings_of(plot);
  std::string inside;
  double width = 0, height = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const double x = static_cast<double>(i % kColumns) * (all[i].width + 8);
    const double y = static_cast<double>(i / kColumns) * all[i].height;
    inside +=
        fmt::format("<g transform=\"translate({:.0f},{:.0f})\">\n{}</g>\n", x, y, all[i].inside);
    width = std::max(width, x + all[i].width);
    height = std::max(height, y + all[i].height);
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{2}</title>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{3}</svg>\n",
      width, height, html_escape(plot.title), inside);
}

}  // namespace versor
