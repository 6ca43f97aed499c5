// The results that README.md shows, made from the recorded runs:
//   bin/verdicts --readme README.md   (make readme-tables)
#pragma once

#include <string>
#include <vector>

#include "experiments/study/verdicts.h"

namespace versor {

// "3 runs of at least 50 epochs ... on NVIDIA ... in tf32"
std::string summary_of_runs(const std::vector<RecordedRun>& runs);
// "Of the 60 figures of tables 2 and 3: ...": how many have which verdict, and how many still
// differ if all are one family.
std::string summary_of_verdicts(const std::vector<Cell>& cells);

// A sentence and a table: for every beta with runs the paper's figures, ours, their ratio and the
// verdicts.
std::string readme_results(const Evidence& evidence);

// Replaces what stands between the lines kBegin and kEnd of the file. Throws Error if it does not
// have both.
constexpr const char* kBegin = "<!-- results: begin -->";
constexpr const char* kEnd = "<!-- results: end -->";
void write_results_into(const std::string& path, const Evidence& evidence);

}  // namespace versor
