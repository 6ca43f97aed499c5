// A section of the report: what one program found, as tables, plots and pictures, with the runs
// that it rests on. A program writes its section into the results folder; bin/report puts all
// sections that are there on one page.
//   results/table3.json   the section itself
//   results/table3.md     the same to be read; results/<table>.csv one file for each table
#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/report/table.h"

namespace versor {

struct Picture {
  std::string file;  // relative to the results folder: .png or .svg
  std::string caption;
};

// A run as the report needs to know it.
struct RunRecord {
  std::string folder, commit, hardware, precision, device;
  std::string continues;  // the folder's name of the shorter run that it went on from; or empty
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
  std::map<std::string, int> verdicts;  // "agrees": 12, ...; empty: nothing was compared
};

// Writes the files named above; throws Error naming a file that cannot be written.
void write_section(const std::string& results, const Section& section);
// The text of its JSON file.
std::string section_text(const Section& section);
// Throws Error naming the file if it is missing or malformed.
Section read_section(const std::string& path);

}  // namespace versor
