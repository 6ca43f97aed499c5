// Verdicts on the figures of tables 2 and 3, from all runs of the paper's length that are recorded
// or in the results folder. STATISTICS.md explains them.
//   target   every printed figure of the two tables, and the authors' curves
//   ours     runs of full length with the published choices, whichever seeds are there
//   command  make verdicts;  bin/verdicts --simulate 20000;  bin/verdicts --readme README.md
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "experiments/cli/program.h"
#include "experiments/study/readme_results.h"
#include "experiments/study/verdict_analyses.h"
#include "experiments/study/verdict_simulation.h"

using namespace versor;

namespace {

void describe(const RecordedRuns& recorded, Section& section) {
  std::set<std::string> commits;
  for (const RecordedRun& run : recorded.runs) commits.insert(run.commit);
  section.notes.push_back(
      fmt::format("{}; commit {}.", summary_of_runs(recorded.runs), fmt::join(commits, ", ")));
  section.notes.push_back(fmt::format(
      "\"{}\": the 90 % interval of the ratio lies within ± 10 % (reconstruction) or ± 25 % "
      "(codebook). \"{}\": a ratio of 1 is refuted (p below 0.05 after Holm's adjustment). \"{}\": "
      "neither is shown. \"{}\": the paper's row contradicts itself. See "
      "experiments/STATISTICS.md.",
      kEquivalent, kDiffers, kCompatible, kContradictory));
  for (const std::string& run : recorded.left_out) section.notes.push_back("left out: " + run);
}

Section make_section(const RecordedRuns& recorded, const Evidence& evidence,
                     const std::string& results) {
  Section section;
  section.name = "verdicts";
  section.title = "Verdicts: what our runs of full length show about the paper's figures";
  describe(recorded, section);
  const std::vector<Cell> cells = judge_tables(evidence);
  for (const Cell& cell : cells)
    if (cell.comparison.verdict != kNoRun && cell.comparison.verdict != kNotTested &&
        cell.comparison.verdict != kTooFew)
      ++section.verdicts[cell.comparison.verdict];
  section.findings = {summary_of_verdicts(cells)};
  section.tables = {verdict_table(cells, 3), verdict_table(cells, 2), detail_table(cells),
                    spread_table(evidence)};
  for (const auto& analysis :
       {all_runs_table, permutation_table, adjusted_table, slope_table, curve_table})
    section.tables.push_back(analysis(evidence));
  section.tables.insert(section.tables.begin() + 5, cut_off_table(evidence, recorded.cut_off));
  std::erase_if(section.tables, [](const Table& table) { return table.rows.empty(); });
  add_band_plots(evidence, results, section);
  return section;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Verdicts on the figures of tables 2 and 3, from the runs that are there.");
  std::string results = "results";
  std::string recorded_folder = "experiments/recorded/runs";
  std::string published_folder = "experiments/published_runs", readme;
  int64_t simulations = 0;
  app.add_option("--results", results, "folder of runs and tables")->capture_default_str();
  app.add_option("--recorded", recorded_folder, "folder of recorded runs")->capture_default_str();
  app.add_option("--published-runs", published_folder, "folder of the authors' curves")
      ->capture_default_str();
  app.add_option("--readme", readme, "only write the results into this file, between its markers");
  app.add_option("--simulate", simulations,
                 "only try the methods on so many made-up sets of runs whose truth is known")
      ->check(in_range(1, 10'000'000));
  return run_program(app, argc, argv, [&] {
    if (simulations > 0) {
      for (const Table& table : simulate(simulations)) fmt::print("{}\n", table.markdown());
      return 0;
    }
    std::vector<std::string> places = {
        recorded_folder,
        (std::filesystem::path(recorded_folder).parent_path() / "unfinished-runs").string()};
    if (readme.empty()) places.push_back(results + "/runs");
    const auto recorded = read_recorded_runs(places);
    const Evidence evidence{recorded.runs, read_published_runs(published_folder)};
    if (!readme.empty()) {
      write_results_into(readme, evidence);
      fmt::print("written: {}\n", readme);
      return 0;
    }
    const Section section = make_section(recorded, evidence, results);
    write_section(results, section);
    for (const std::string& note : section.notes) fmt::print("{}\n", note);
    for (const Table& table : section.tables) fmt::print("\n{}", table.terminal());
    for (const std::string& finding : section.findings) fmt::print("\n- {}", finding);
    fmt::print("\n\nwritten: {0}/verdicts.md, verdicts.json and the tables as CSV\n", results);
    return 0;
  });
}
