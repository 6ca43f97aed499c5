// Table 3 of the paper: the commitment weight beta = 0.1, 0.25, 0.5, 1, 2; training and testing
// figures of the last of 50 epochs, CIFAR-10, D = 256, K = 1024, batch 128.
//   target   the paper's figures are printed beside ours when the runs have the paper's size
//   ours     mean ± standard deviation over the seeds, presets `published` and `versor`
//   command  make table3 SEEDS=1,2,3;  smaller: make table3 EPOCHS=5 TRAIN=10000
#include <fmt/format.h>

#include <algorithm>

#include "experiments/cli/program.h"
#include "experiments/report/section.h"
#include "experiments/study/comparison.h"
#include "experiments/study/published_runs.h"

using namespace versor;

namespace {

std::vector<double> betas;
std::string published_folder = "experiments/published_runs";

std::string label_of(double beta) {
  return fmt::format("{:g}", beta);
}

const PaperRow* paper_row(double beta) {
  for (const PaperRow& row : table3_rows())
    if (row.beta == beta) return &row;
  return nullptr;
}

void plan(Study& study) {
  for (const std::string& preset : study.options().presets)
    for (double beta : betas)
      study.add(label_of(beta), preset, [&](RunOptions& o) { o.beta = beta; });
}

Table main_table(const Study& study, const Section& section) {
  std::vector<ComparedRow> rows;
  for (double beta : betas) {
    ComparedRow row{label_of(beta), paper_row(beta), {}, 0};
    for (const std::string& preset : study.options().presets)
      row.ours.push_back(&study.find(label_of(beta), preset));
    rows.push_back(row);
  }
  return comparison_table(section.name, "beta", table3_columns(), rows, section.scale.empty());
}

// Our curves of preset `published` stand beside the authors', epoch by epoch, if an epoch is the
// same as theirs: the paper's sizes, with any number of epochs.
bool same_epochs(const Study& study) {
  const Run* run = study.first_run("published");
  return run != nullptr && differences_from_paper(*run->config, 1024, run->options.epochs).empty();
}

// Our last epoch beside the same epoch of the authors' runs.
Table epoch_table(const Study& study, const std::vector<PublishedRun>& authors) {
  const int64_t epoch = study.options().run.epochs;
  Table table;
  table.file = "table3-epochs";
  table.title = fmt::format("Epoch {} of ours, preset published, and epoch {} of the authors' runs",
                            epoch, epoch);
  table.notes = {"The difference is that of our mean from the mean of the authors' runs."};
  table.columns = {"beta", "quantity", "ours", "the authors' runs", "difference"};
  for (double beta : betas)
    for (const MetricColumn& c : table3_columns()) {
      std::vector<double> theirs;
      std::string each;
      for (const PublishedRun& run : authors) {
        const auto curve = run.metrics.column(c.metric);
        if (run.beta != beta || run.codes != 1024 || epoch > static_cast<int64_t>(curve.size()))
          continue;
        theirs.push_back(curve[static_cast<size_t>(epoch - 1)]);
        each += fmt::format("{}{:.{}f}", each.empty() ? "" : ", ", theirs.back(), c.decimals);
      }
      if (theirs.empty()) continue;
      const Summary ours = study.find(label_of(beta), "published").at(c.metric);
      const double mean = summarize(theirs).mean;
      table.rows.push_back({label_of(beta), c.title, to_text(ours, c.decimals), each,
                            change_in_percent(mean, ours.mean)});
    }
  return table;
}

// One plot per quantity and one colour per beta; our curves are solid, the authors' dashed.
void add_plots(const Study& study, Section& section, const std::vector<PublishedRun>& authors) {
  const std::pair<const char*, const char*> quantities[] = {
      {"recon_loss", "reconstruction loss"},
      {"codebook_loss", "codebook loss"},
      {"perplexity", "perplexity of a batch"}};
  for (const std::string& preset : study.options().presets)
    for (const auto& [metric, words] : quantities) {
      Plot plot;
      plot.file = fmt::format("table3-{}-{}", preset, metric);
      plot.title = fmt::format("training, {}, preset {}", words, preset);
      plot.y_label = words;
      plot.log_y = true;
      for (size_t b = 0; b < betas.size(); ++b) {
        const std::string column = fmt::format("train_{}", metric);
        const Series& series = study.find(label_of(betas[b]), preset);
        plot.curves.push_back(
            epoch_curve("beta " + series.label, series.curve(column), static_cast<int>(b)));
        for (const PublishedRun& run : authors) {
          if (run.beta != betas[b] || preset != "published") continue;
          // The authors' 50 epochs would squeeze a short run into a corner of the plot.
          auto theirs = run.metrics.column(column);
          theirs.resize(
              std::min(theirs.size(), static_cast<size_t>(2 * study.any_run().options.epochs)));
          plot.curves.push_back(
              epoch_curve("authors', " + run.file, theirs, static_cast<int>(b), true));
        }
      }
      add_plot(
          section, study.options().results, plot,
          fmt::format(
              "{}, preset {}: mean over our seeds{}.", words, preset,
              authors.empty() || preset != "published" ? "" : "; dashed, the authors' own runs"));
    }
}

void fill_section(const Study& study, Section& section) {
  section.title = "Table 3: the weight of the commitment loss";
  section.tables.push_back(main_table(study, section));
  std::vector<PublishedRun> authors;
  if (same_epochs(study)) authors = read_published_runs(published_folder);
  if (!authors.empty()) section.tables.push_back(epoch_table(study, authors));
  add_plots(study, section, authors);
}

}  // namespace

int main(int argc, char** argv) {
  for (const PaperRow& row : table3_rows()) betas.push_back(row.beta);
  Experiment e{.name = "table3",
               .summary = "Table 3: the beta ablation. Trains what is missing, then writes it.",
               .own = {"--beta"}};
  e.add_options = [](Options& app) {
    app.add_option("--beta", betas, "weights of the commitment loss, separated by commas")
        ->delimiter(',')
        ->check(kNotNegative);
    app.add_option("--published-runs", published_folder, "folder of the authors' curves")
        ->capture_default_str();
  };
  e.plan = plan;
  e.fill_section = fill_section;
  return run_experiment(argc, argv, e);
}
