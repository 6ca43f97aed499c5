// Where the difference between the presets comes from: each choice of the published runs alone, on
// top of the preset `versor` (or of `best`, --preset best), and all of them together (the preset
// `published`). With --preset published the other way round: each of these choices undone alone.
//   target   none: the paper has no such table
//   ours     mean ± standard deviation over the seeds, after 50 epochs
//   command  make table_attribution SEEDS=1,2,3
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "experiments/run/option_table.h"
#include "experiments/study/experiment.h"
#include "experiments/study/paper.h"

using namespace versor;

namespace {

struct Choice {
  const char* published;  // what the published runs do, in words
  const char* versor;     // what we consider right instead
  void (*switch_on)(RunOptions&);
  void (*switch_off)(RunOptions&);
};

// `rotation` rescales the value, and rotates and rescales the gradient. `ste` does only the first,
// `rotation_unscaled` only rotates the gradient, `published` does neither.
const Choice kChoices[] = {
    {"no rescaling", "rescaled", [](RunOptions& o) { o.estimator = Estimator::rotation_unscaled; },
     [](RunOptions& o) { o.estimator = Estimator::ste; }},
    {"straight-through gradient", "rotated gradient",
     [](RunOptions& o) { o.estimator = Estimator::ste; },
     [](RunOptions& o) { o.estimator = Estimator::rotation_unscaled; }},
    {"neither rescaling nor rotated gradient", "rotation with rescaling",
     [](RunOptions& o) { o.estimator = Estimator::published; },
     [](RunOptions& o) { o.estimator = Estimator::rotation; }},
    {"uniform codebook start", "k-means start",
     [](RunOptions& o) { o.codebook_start = CodebookStart::uniform; },
     [](RunOptions& o) { o.codebook_start = CodebookStart::kmeans; }},
    {"zero accumulators", "warm accumulators",
     [](RunOptions& o) { o.accumulators = Accumulators::zero; },
     [](RunOptions& o) { o.accumulators = Accumulators::warm; }},
    {"Adam on the codebook too", "EMA alone on the codebook",
     [](RunOptions& o) { o.learning = CodebookLearning::both; },
     [](RunOptions& o) { o.learning = CodebookLearning::ema; }},
    {"EMA during evaluation", "evaluation frozen", [](RunOptions& o) { o.ema_in_eval = true; },
     [](RunOptions& o) { o.ema_in_eval = false; }},
    {"dead codes kept", "dead codes replaced", [](RunOptions& o) { o.dead_codes = 0; },
     [](RunOptions& o) { o.dead_codes = 0.1; }}};

constexpr MetricColumn kColumns[] = {{"Recon Loss", "train_recon_loss", 4},
                                     {"Test Recon", "test_recon_loss", 4},
                                     {"Test PSNR", "test_psnr", 2},
                                     {"mse(e,q)/var(e)", "test_quantization_ratio", 3},
                                     {"Perplexity (batch)", "test_perplexity", 1},
                                     {"Perplexity (test set)", "test_data_perplexity", 1},
                                     {"Codes used", "test_codes_used", 0},
                                     {"Usage", "test_usage", 3}};

// The rows of a preset. The first is the preset itself, the last one the preset compared with it.
struct Rows {
  std::string preset;
  size_t begin = 0, end = 0;  // among the study's series
};
std::vector<Rows> all_rows;

// The presets `best` and `published` also differ in numbers, so there is a row for each option.
void add_options_one_by_one(Study& study, const std::string& from, Preset to) {
  for (const RunOption& option : run_option_table()) {
    if (!option.take_preset) continue;
    RunOptions base, other;
    base.preset = parse_name<Preset>(from);
    other.preset = to;
    option.take_preset(base);
    option.take_preset(other);
    if (option.value(base) == option.value(other)) continue;
    study.add(fmt::format("{} {} instead of {}", option.name, text_of(option.value(other)),
                          text_of(option.value(base))),
              from, [&](RunOptions& o) {
                const Preset preset = std::exchange(o.preset, to);
                option.take_preset(o);
                o.preset = preset;
              });
  }
}

void plan(Study& study) {
  for (const std::string& preset : study.options().presets) {
    const size_t begin = study.series().size();
    const bool published = preset == "published";
    study.add(preset, preset);
    if (preset == "best") add_options_one_by_one(study, preset, Preset::published);
    for (const Choice& choice : kChoices)
      if (preset != "best")
        study.add(published ? std::string("but ") + choice.versor
                            : std::string("with ") + choice.published,
                  preset, published ? choice.switch_off : choice.switch_on);
    const std::string other = published ? "versor" : "published";
    study.add(other, other);
    all_rows.push_back({preset, begin, study.series().size()});
  }
}

void add_table(const Study& study, Section& section, const Rows& rows) {
  Table table;
  table.file = section.name + (all_rows.size() > 1 ? "-" + rows.preset : "");
  table.title = "preset " + rows.preset + ", one choice changed in each row";
  table.columns = {"run"};
  for (const MetricColumn& c : kColumns) table.columns.push_back(c.title);
  table.columns.push_back("Test Recon against the first row");
  const Series &base = study.series()[rows.begin], &other = study.series()[rows.end - 1];
  const auto recon_of = [](const Series& s) { return s.at("test_recon_loss").mean; };
  const double first = recon_of(base);
  const Series* worst = &base;
  for (size_t i = rows.begin; i < rows.end; ++i) {
    const Series& series = study.series()[i];
    std::vector<std::string> cells{series.label};
    for (const MetricColumn& c : kColumns)
      cells.push_back(to_text(series.at(c.metric), c.decimals));
    cells.push_back(change_in_percent(first, recon_of(series)));
    table.rows.push_back(cells);
    const auto effect = [&](const Series& s) { return std::fabs(recon_of(s) / first - 1); };
    if (&series != &other && effect(series) > effect(*worst)) worst = &series;
  }
  section.tables.push_back(table);
  section.findings.push_back(
      fmt::format("Of the choices changed alone on preset {}, \"{}\" moves the test reconstruction "
                  "loss most: {:.4f} to {:.4f}; all together ({}): {:.4f}{}",
                  rows.preset, worst->label, first, recon_of(*worst), other.label, recon_of(other),
                  section.scale.empty() ? "." : " (scaled down)."));
}

void fill_section(const Study& study, Section& section) {
  section.title = "What makes the difference: the published runs' choices one by one";
  section.notes.push_back(
      "The paper has no such table. Each row changes one thing of the first; the last changes "
      "all.");
  for (const Rows& rows : all_rows) add_table(study, section, rows);
}

}  // namespace

int main(int argc, char** argv) {
  Experiment e{.name = "table_attribution",
               .summary = "Each choice of the published runs alone. Trains what is missing.",
               .presets = {"versor"}};
  e.plan = plan;
  e.fill_section = fill_section;
  return run_experiment(argc, argv, e);
}
