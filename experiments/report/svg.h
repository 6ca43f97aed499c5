// A plot as SVG text, drawn by our own code, for the page and as a file. It needs no font, script
// or other file. The page's script (page_style.h) adds the values under the pointer; without it,
// marks and points have titles. Colours are attributes, which the page's style replaces in the
// dark.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/plot.h"

namespace versor {

// Okabe and Ito, "Color Universal Design" (2008): no two neighbours differ only in red and green.
// Some are darkened for their contrast on white.
constexpr const char* kPlotColours[] = {"#0072b2", "#c85000", "#00805a", "#b0588a",
                                        "#56b4e9", "#a97400", "#000000", "#6f5f00"};

// Ticks of a logarithmic axis from low to high: 1, 1.5, 2, 3, 5, 7 times powers of ten, or fewer of
// these where that is many. None, for a linear axis, if there would be fewer than three or if not
// all values are positive.
std::vector<double> log_ticks(double low, double high);

// The least and the largest finite value of the curves' y, bands included; low > high: none.
struct Range {
  double low, high;
};
Range range_of(const std::vector<Curve>& curves);

// The square that shows all points of a panel, and the count that decides the largest point.
struct Square {
  double x, y, half;  // its centre and half its side
  double most;
};
Square square_around(const std::vector<CodePoint>& points);

// Of a line plot one picture; of a codebook plot one for each panel.
std::vector<std::string> svgs_of(const Plot& plot);
// The same as one SVG file, on white.
std::string svg_file(const Plot& plot);

}  // namespace versor
