// The methods behind the verdicts, tried on made-up runs whose truth is known: do the intervals
// cover it as often as they say, how often is a difference found that is not there, or missed?
#pragma once

#include <cstdint>
#include <vector>

#include "experiments/report/table.h"

namespace versor {

// Three tables: coverage and false alarms, power, and coverage where an assumption fails.
// `repeats` sets of runs for each line. The same number gives the same tables.
std::vector<Table> simulate(int64_t repeats);

}  // namespace versor
