// Table 3 of the paper: the commitment weight beta = 0.1, 0.25, 0.5, 1, 2; training and testing
// figures of the last of 50 epochs, CIFAR-10, D = 256, K = 1024, batch 128.
//   target   the paper's figures are printed beside ours when the runs have the paper's size
//   ours     mean ± standard deviation over the seeds
//   command  make table3 SEEDS=1,2,3   (preset versor; bin/table3 --preset published for the
//            published choices), or make quick for a miniature
#include <fmt/format.h>

#include <set>

#include "experiments/program.h"
#include "experiments/report.h"
#include "experiments/run_folder.h"
#include "experiments/runs.h"
#include "experiments/statistics.h"

using namespace versor;

namespace {

// A column of the paper's table and where it stands in metrics.csv.
struct Column {
  const char *title, *metric;
  int decimals;
};
constexpr Column kColumns[] = {{"Total Loss", "train_loss", 4},
                               {"Recon Loss", "train_recon_loss", 4},
                               {"Codebook Loss", "train_codebook_loss", 4},
                               {"Perplexity", "train_perplexity", 2},
                               {"Test Loss", "test_loss", 4},
                               {"Test Recon", "test_recon_loss", 4},
                               {"Test Codebook", "test_codebook_loss", 4},
                               {"Test Perplexity", "test_perplexity", 2}};

struct PaperRow {
  double beta;
  double values[8];
};
constexpr PaperRow kPaper[] = {
    {0.1, {0.0785, 0.0086, 0.0636, 628.84, 0.0776, 0.0094, 0.0620, 617.90}},
    {0.25, {0.0516, 0.0095, 0.0336, 281.29, 0.0529, 0.0102, 0.0342, 282.58}},
    {0.5, {0.0441, 0.0108, 0.0222, 126.93, 0.0441, 0.0116, 0.0217, 127.05}},
    {1.0, {0.0324, 0.0108, 0.0108, 132.34, 0.0326, 0.0114, 0.0106, 132.32}},
    {2.0, {0.0266, 0.0108, 0.0053, 117.23, 0.0273, 0.0114, 0.0053, 117.17}}};

// What --quick stands for, where the command line does not say otherwise: minutes on two cores.
void shrink(CLI::App& app, ManyRunsOptions& o) {
  const auto set = [&](const char* name, auto& option, auto value) {
    if (app.get_option(name)->count() == 0) option = value;
  };
  set("--latent", o.run.latent, 32);
  set("--codes", o.run.codes, 128);
  set("--batch-size", o.run.batch_size, 32);
  set("--lr", o.run.lr, 1e-3);
  set("--epochs", o.run.epochs, 4);
  set("--train-images", o.run.train_images, 4000);
  set("--test-images", o.run.test_images, 1000);
  set("--seeds", o.seeds, std::vector<uint64_t>{1});
}

using SeedRuns = std::vector<Run>;  // one per seed

Table make_table(const std::vector<SeedRuns>& all) {
  const auto& config = all[0][0].config;
  const bool paper = paper_size(config) && config["epochs"] == 50;
  Table table;
  table.title = paper ? "Table 3: impact of beta on the VQ-VAE"
                      : "A miniature of table 3 (not comparable with the paper's figures)";
  const auto text = [&](const char* key) {
    return config[key].is_string() ? config[key].get<std::string>() : config[key].dump();
  };
  table.notes.push_back(
      fmt::format("{}: {} training and {} test images; D {}, K {}, batch {}, {} epochs; {} seed(s)",
                  text("data"), text("train_images"), text("test_images"), text("latent"),
                  text("codes"), text("batch_size"), text("epochs"), all[0].size()));
  std::set<std::string> commits;
  for (const SeedRuns& runs : all)
    for (const Run& run : runs) commits.insert(commit_of(run));
  table.notes.push_back(fmt::format(
      "estimator {}, codebook start {}, accumulators {}, owner {}, dead codes {}; {} {}, commit {}",
      text("estimator"), text("codebook_start"), text("accumulators"), text("owner"),
      text("dead_codes"), text("device"), text("precision"), *commits.begin()));
  if (commits.size() > 1)
    table.notes.push_back("warning: these runs were made by different commits");
  table.columns = {"beta"};
  if (paper) table.columns.push_back("source");
  for (const Column& c : kColumns) table.columns.push_back(c.title);
  for (size_t b = 0; b < all.size(); ++b) {
    const std::string beta = fmt::format("{:g}", kPaper[b].beta);
    std::vector<std::string> ours{beta}, theirs{beta, "paper"}, verdicts{beta, "verdict"};
    if (paper) ours.push_back("ours");
    for (size_t c = 0; c < std::size(kColumns); ++c) {
      std::vector<double> values;
      for (const Run& run : all[b]) values.push_back(metrics_of(run).last(kColumns[c].metric));
      const Summary summary = summarize(values);
      ours.push_back(to_text(summary, kColumns[c].decimals));
      theirs.push_back(fmt::format("{:.{}f}", kPaper[b].values[c], kColumns[c].decimals));
      verdicts.push_back(verdict(summary, kPaper[b].values[c]));
    }
    table.rows.push_back(ours);
    if (!paper) continue;
    table.rows.push_back(theirs);
    table.rows.push_back(verdicts);
  }
  return table;
}

// The table, curves of the first seed, and its reconstructions.
std::string make_page(const Table& table, const std::vector<SeedRuns>& all) {
  std::vector<Curve> recon, perplexity;
  std::string pictures;
  for (size_t b = 0; b < all.size(); ++b) {
    const Run& run = all[b][0];
    const std::string name = fmt::format("beta {:g}", kPaper[b].beta);
    const MetricsTable metrics = metrics_of(run);
    recon.push_back({name, metrics.column("test_recon_loss")});
    perplexity.push_back({name, metrics.column("test_perplexity")});
    const std::string folder = run.folder.substr(run.folder.rfind("/runs/") + 1);
    pictures += html_picture(folder + "/reconstructions.png",
                             name + ": test images (above) and their reconstructions (below)");
  }
  return html_page(table.title, table.html() + svg_plot("test reconstruction loss", recon) +
                                    svg_plot("test perplexity", perplexity) + pictures);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Table 3: the beta ablation. Trains what is missing, then writes the table.");
  ManyRunsOptions options;
  bool quick = false;
  add_many_runs_options(app, options);
  app.add_flag("--quick", quick, "a miniature: small D, K and data, few epochs, one seed");
  return run_program(app, argc, argv, [&] {
    if (quick) shrink(app, options);
    const Runs runs(options);
    std::vector<SeedRuns> all;
    for (const PaperRow& row : kPaper) {
      all.emplace_back();
      for (uint64_t seed : options.seeds) all.back().push_back(runs.describe(row.beta, seed));
    }
    for (const SeedRuns& seeds : all)
      for (const Run& run : seeds) {
        if (options.list) {
          if (!runs.finished(run)) fmt::print("{}\n", runs.command(run));
        } else if (!runs.complete(run)) {
          fmt::print(stderr, "\ninterrupted; the same command goes on from there\n");
          return kInterrupted;
        }
      }
    if (options.list) return 0;
    const Table table = make_table(all);
    write_file(options.results + "/table3.md", table.markdown());
    write_file(options.results + "/table3.csv", table.csv());
    write_file(options.results + "/report.html", make_page(table, all));
    fmt::print("\n{}\nwritten: {}/table3.md, table3.csv, report.html with pictures\n",
               table.terminal(), options.results);
    return 0;
  });
}
