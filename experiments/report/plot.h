// Plots: lines over x, or a codebook in the plane. A plot is data; svg.h draws it. Its numbers are
// also kept in <results>/plots as CSV, with a gnuplot script for those who want to change how it
// looks:
//   cd results/plots && gnuplot table3-recon.gp    draws table3-recon-gnuplot.svg
// The programs themselves do not need gnuplot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace versor {

// One line, y over x. Curves of one colour belong together.
struct Curve {
  std::string name;
  std::vector<double> x, y;
  int colour = 0;  // one of eight that colour-blind readers can tell apart
  int dash = 0;    // 0: solid, 1: dashed, 2: dotted; each with its own marks
  std::vector<double> low = {}, high = {};  // a band about it, as long as x; empty: none
};
// x = 1, 2, ... (epochs).
Curve epoch_curve(const std::string& name, const std::vector<double>& y, int colour,
                  bool dashed = false);

// A codebook in the plane.
struct CodePoint {
  double x = 0, y = 0;
  int64_t count = 0;  // vectors on it; decides the point's size
  bool dead = false;  // never used: drawn as a cross
};
struct Panel {
  std::string title;
  std::vector<CodePoint> points;
};

struct Plot {
  std::string file = {};  // without folder and ending
  std::string title = {}, x_label = "epoch", y_label = {};
  bool log_y = false;
  std::vector<Curve> curves = {};
  std::vector<Panel> panels = {};  // codebooks instead of curves, four in a row
};

// Writes <results>/plots/<file>.csv, .gp and .svg. Throws Error naming a file that cannot be
// written.
void write_plot(const std::string& results, const Plot& plot);

}  // namespace versor
