// What the runs show beyond single figures of the tables (experiments/STATISTICS.md): all of the
// authors' runs of one setting, figures at equal use of codes, the effect of beta, and whole
// curves.
#pragma once

#include "experiments/report/section.h"
#include "experiments/study/verdicts.h"

namespace versor {

// Settings that the authors ran several times: two samples of runs after 50 epochs.
Table all_runs_table(const Evidence& evidence);
// Runs that were cut off: with the whole runs of their setting, against the authors' curves, after
// the epoch that all of them reached. No figure of the paper's tables is tested by it.
Table cut_off_table(const Evidence& evidence, const std::vector<RecordedRun>& cut_off);
// Settings that the authors ran several times: exact permutation tests over whole curves and over
// last figures.
Table permutation_table(const Evidence& evidence);
// Losses at equal perplexity, by analysis of covariance with a slope common to all settings.
Table adjusted_table(const Evidence& evidence);
// The slope of each figure on log beta, ours and theirs.
Table slope_table(const Evidence& evidence);
// How many epochs of the authors' curves lie outside the band that is expected to hold a further
// seed of ours.
Table curve_table(const Evidence& evidence);
// Plots of those bands: one for each setting and figure, of testing.
void add_band_plots(const Evidence& evidence, const std::string& results, Section& section);

}  // namespace versor
