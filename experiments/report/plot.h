// Plots: a CSV file of the numbers, a gnuplot script, and the SVG that gnuplot makes of the two.
// All three are kept in <results>/plots, so that anyone can change a script and redraw:
//   cd results/plots && gnuplot table3-recon.gp
// gnuplot is $GNUPLOT or the one in PATH. Without it there is no SVG.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/section.h"
#include "tensor/tensor.h"

namespace versor {

// One line, y over x. Curves of one colour belong together.
struct Curve {
  std::string name;
  std::vector<double> x, y;
  int colour = 0;  // one of eight that colour-blind readers can tell apart
  int dash = 0;    // 0: solid, 1: dashed, 2: dotted; each with its own marks
};
// x = 1, 2, ... (epochs).
Curve epoch_curve(const std::string& name, const std::vector<double>& y, int colour,
                  bool dashed = false);

struct LinePlot {
  std::string file;  // without folder and ending
  std::string title, x_label = "epoch", y_label;
  bool log_y = false;
  std::vector<Curve> curves = {};
};

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
struct CodebookPlot {
  std::string file, title;
  std::vector<Panel> panels;  // side by side, four in a row
};

// Write <results>/plots/<file>.csv, .gp and .svg. False where there is no gnuplot; throws Error
// naming the file if gnuplot fails.
bool draw(const std::string& results, const LinePlot& plot);
bool draw(const std::string& results, const CodebookPlot& plot);

// Draws the plot and adds it to the section, or a note where there is no gnuplot.
template <class Plot>
void add_plot(Section& section, const std::string& results, const Plot& plot,
              const std::string& caption) {
  const std::string name = "plots/" + plot.file;
  if (draw(results, plot))
    section.pictures.push_back({name + ".svg", caption});
  else
    section.notes.push_back("not drawn, there is no gnuplot: " + name + ".csv with its script " +
                            name + ".gp");
}

}  // namespace versor
