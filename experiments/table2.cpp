// Table 2 of the paper: the size of the codebook, K = 256, 512, 1024, 2048 ("Small" to "X-Large",
// all with the same network); training figures of the last of 50 epochs, and of the first
// ("Initial").
//   target   the paper's figures; three of its rows are the same row printed three times, which
//            contradicts itself; its "Medium" is the run with K = 1024
//   ours     mean ± standard deviation over the seeds, presets `published` and `versor`
//   command  make table2 SEEDS=1,2,3
#include <fmt/format.h>

#include "experiments/cli/program.h"
#include "experiments/report/section.h"
#include "experiments/study/comparison.h"

using namespace versor;

namespace {

std::vector<int64_t> codes = {256, 512, 1024, 2048};
const Options* command_line = nullptr;

std::string label_of(int64_t k) {
  return fmt::format("K = {}", k);
}

void plan(Study& study) {
  if (study.options().run.quantizer == QuantizerKind::fsq)
    throw UsageError("--quantizer",
                     "fsq has as many codes as its --levels make, not those of a row");
  // --quick takes an eighth of every size.
  if (study.options().quick && !command_line->given("--codes"))
    for (int64_t& k : codes) k /= 8;
  for (const std::string& preset : study.options().presets)
    for (int64_t k : codes) study.add(label_of(k), preset, [&](RunOptions& o) { o.codes = k; });
}

const PaperRow* paper_row(const std::string& label) {
  for (const PaperRow& row : table2_rows())
    if (row.label == label) return &row;
  return nullptr;
}

std::vector<const Series*> ours(const Study& study, int64_t k) {
  std::vector<const Series*> all;
  for (const std::string& preset : study.options().presets)
    all.push_back(&study.find(label_of(k), preset));
  return all;
}

// `compare`: repeats the paper's "Medium" row at K = 1024, where it belongs.
std::vector<ComparedRow> rows(const Study& study, bool compare) {
  const char* names[] = {"Final Small", "Final Medium", "Final Large", "Final X-Large"};
  std::vector<ComparedRow> all;
  // The "Initial" row has our last size but one: by default K = 1024, as in the paper's final run.
  const int64_t initial = codes.size() > 1 ? codes[codes.size() - 2] : codes[0];
  all.push_back(
      {fmt::format("Initial, K = {}", initial), paper_row("Initial"), ours(study, initial), 1});
  for (size_t i = 0; i < codes.size(); ++i) {
    const PaperRow* paper = nullptr;
    std::string label = label_of(codes[i]);
    for (const PaperRow& row : table2_rows())
      if (row.codes == codes[i] && std::string(row.label) != "Initial") paper = &row;
    if (codes.size() == std::size(names)) label = fmt::format("{}, {}", names[i], label);
    // The paper's Medium row is a run with K = 1024 and is compared there.
    if (codes[i] == 512) paper = nullptr;
    all.push_back({label, paper, ours(study, codes[i]), 0});
    if (compare && codes[i] == 1024)
      all.push_back({"the paper's Medium, a run with K = 1024", paper_row("Final Medium"),
                     ours(study, codes[i]), 0});
  }
  return all;
}

void fill_section(const Study& study, Section& section) {
  section.title = "Table 2: the size of the codebook";
  for (const PaperRow& row : table2_rows())
    if (const std::string why = contradiction(row); !why.empty())
      section.notes.push_back(
          fmt::format("The paper's row \"{}\" contradicts itself: {}.", row.label, why));
  section.notes.push_back(
      "The paper's Small, Large and X-Large are one and the same row. Its Medium (0.0475, 0.0092, "
      "0.0306, 431.25) is the authors' run with K = 1024, and is compared with ours of that size.");
  const bool compare = section.scale.empty();
  section.tables.push_back(
      comparison_table(section.name, "model", table2_columns(), rows(study, compare), compare));
  for (const auto& [metric, words] : {std::pair("recon_loss", "reconstruction loss"),
                                      std::pair("perplexity", "perplexity of a batch")}) {
    Plot plot;
    plot.file = fmt::format("table2-{}", metric);
    plot.title = fmt::format("training, {}", words);
    plot.y_label = words;
    plot.log_y = true;
    for (const Series& series : study.series()) {
      const auto at = std::find_if(codes.begin(), codes.end(),
                                   [&](int64_t k) { return label_of(k) == series.label; });
      plot.curves.push_back(epoch_curve(
          series.label + ", " + series.preset, series.curve(fmt::format("train_{}", metric)),
          static_cast<int>(at - codes.begin()), series.preset != study.options().presets.front()));
    }
    add_plot(section, study.options().results, plot,
             fmt::format("Training, {}; lines: preset {}, dashed: others.", words,
                         study.options().presets.front()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Experiment e{
      .name = "table2",
      .summary = "Table 2: the size of the codebook. Trains what is missing, then writes it.",
      .own = {"--codes"},
      .paper_codes = 0};
  e.add_options = [](Options& app) {
    command_line = &app;
    app.add_option("--codes", codes, "sizes K of the codebook, separated by commas")
        ->delimiter(',')
        ->check(in_range(1, int64_t{1} << 30));
  };
  e.plan = plan;
  e.fill_section = fill_section;
  return run_experiment(argc, argv, e);
}
