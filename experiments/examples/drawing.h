// Pictures for the examples: points, arrows and squares in panels side by side, as SVG.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <string>

namespace examples {

// Twelve that can be told apart (Paul Tol's "bright" and "muted" schemes).
constexpr const char* kColours[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44",
                                    "#66ccee", "#aa3377", "#882255", "#999933",
                                    "#332288", "#ddcc77", "#44aa99", "#bbbbbb"};

class Drawing {
 public:
  // Panels whose coordinates run from low to high, x to the right and y upwards.
  Drawing(double low, double high) : low_(low), scale_(kSide / (high - low)) {}

  void panel(const std::string& title) {
    left_ = panels_++ * (kSide + 20);
    body_ += fmt::format(
        "<text x='{:.0f}' y='16'>{}</text>\n<rect x='{:.0f}' y='24' width='{}' height='{}' "
        "fill='none' stroke='#888'/>\n",
        left_, title, left_, kSide, kSide);
  }
  void point(double x, double y, double radius, const std::string& colour) {
    body_ += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='{}' fill='{}'/>\n", across(x), down(y),
                         radius, colour);
  }
  // A square with its centre at (x, y).
  void square(double x, double y, double side, const std::string& colour) {
    body_ += fmt::format(
        "<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}' opacity='0.3'/>\n",
        across(x - side / 2), down(y + side / 2), side * scale_, side * scale_, colour);
  }
  void arrow(double x, double y, double dx, double dy, const std::string& colour) {
    body_ += fmt::format(
        "<path d='M{:.1f} {:.1f} L{:.1f} {:.1f}' stroke='{}' marker-end='url(#head)'/>\n",
        across(x), down(y), across(x + dx), down(y + dy), colour);
  }
  void save(const std::string& path) const {
    std::ofstream(path) << fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='-5 0 {:.0f} {}' "
        "font-family='sans-serif' font-size='14'>\n<defs><marker id='head' orient='auto' "
        "markerWidth='4' markerHeight='4' refX='2' refY='2'><path d='M0 0 L4 2 L0 4 z' "
        "fill='context-stroke'/></marker></defs>\n<rect x='-5' width='100%' height='100%' "
        "fill='white'/>\n{}</svg>\n",
        panels_ * (kSide + 20) - 10, kSide + 34, body_);
  }

 private:
  static constexpr double kSide = 300;
  double across(double x) const { return left_ + (x - low_) * scale_; }
  double down(double y) const { return 24 + kSide - (y - low_) * scale_; }

  double low_, scale_, left_ = 0;
  int panels_ = 0;
  std::string body_;
};

}  // namespace examples
