// Any runs side by side, finished or still training, from wherever their folders lie: what differs
// between their options, their curves with the seeds as a band, and what they make of the same
// images.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/section.h"

namespace versor {

// The section `own-runs`. Its first finding is a sentence on the best setting. A run that cannot be
// read is left out, and Section::damaged says why. Writes the plots' files below `results`.
Section own_runs_section(const std::vector<std::string>& folders, const std::string& results);

}  // namespace versor
