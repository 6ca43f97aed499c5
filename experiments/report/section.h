// A section of the report: the results of one program as tables, plots and pictures, and the runs
// they come from. Each program writes its section to the results folder; bin/report puts all
// existing sections on one page.
//   results/table3.json   the section itself
//   results/table3.md     the same as text; results/<table>.csv one file for each table
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiments/report/plot.h"
#include "experiments/report/table.h"

namespace versor {

// A plot, or an image file. Consecutive images of the same originals are shown together, with the
// originals once.
struct Picture {
  std::string file;  // relative to the results folder: .png, or the .svg of a plot
  std::string caption;
  std::string label = {};      // in a few words, beside its rows of images
  std::string originals = {};  // which images it reconstructs, any text; empty: none
  int64_t images = 0;  // originals that it may show, in rows above those of their reconstructions
  std::optional<Plot> plot = {};
  std::string png = {};  // the image itself, where it does not come from `file`; not in the JSON
};

// What the report needs to know about a run.
struct RunRecord {
  std::string folder, commit, hardware, precision, device;
  std::string continues;  // folder of the shorter run that it continued; or empty
  int64_t continues_epochs = 0;
  std::vector<double> seconds;  // of each epoch, training and evaluation
};

struct Section {
  std::string name, title;
  std::string scale;                  // what makes it smaller than the paper; empty: nothing
  std::vector<std::string> notes;     // how it was made
  std::vector<std::string> findings;  // one sentence each, for the head of the report
  std::vector<Table> tables;
  std::vector<Picture> pictures;
  std::vector<RunRecord> runs;
  std::map<std::string, int> verdicts;  // "equivalent": 12, ...; empty: nothing was compared
  std::vector<std::string> damaged;     // what could not be read, naming the file; not in the JSON
};

// Writes the plot's files (write_plot) and adds it to the section.
void add_plot(Section& section, const std::string& results, const Plot& plot,
              const std::string& caption);

// Writes the files named above; throws Error naming a file that cannot be written.
void write_section(const std::string& results, const Section& section);
// The text of its JSON file.
std::string section_text(const Section& section);
// Throws Error naming the file if it is missing or malformed.
Section read_section(const std::string& path);

}  // namespace versor
