// All quantizers head to head at equal bit-rate, with the same network, steps and seeds.
//   target   none: the paper compares its quantizer with no other
//   ours     test MSE and PSNR, nominal and entropy rate, perplexity, codes used, seconds per epoch
//            and memory, mean ± standard deviation over the seeds; a rate-distortion plot; and one
//            sentence per quantizer on when to use it
//   command  make table_quantizers SEEDS=1,2,3;  other rates: RATES=320,640,1280 (bits per image);
//            only some rows: QUANTIZERS=ste,rotation,fsq
// That is 5, 10 or 20 bits for each of 64 latents; with VQ-VAE-2, 4, 8 or 16 for each of 80. Images
// of another size, or another --downsampling, have another number of latents, and rates to match.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/cli/program.h"
#include "experiments/report/section.h"
#include "experiments/run/quantizer_variants.h"
#include "experiments/study/experiment.h"

using namespace versor;

namespace {

constexpr int kBits[] = {5, 10, 20};  // per latent
constexpr int kMainBits = 10;

int latents = 64;           // of an image
bool has_hierarchy = true;  // whether VQ-VAE-2 takes the images, whose top level halves the sides
std::vector<std::string> rates_wanted, rows_wanted;

// Codes of up to 10 bits are one symbol. Codes of 20 bits are two groups of 10 bits, since a
// codebook of 2^20 codes is out of reach; the grouped quantizer is then the plain one.
bool is_grouped(int rate) {
  return rate / latents > 10;
}

bool wanted(const std::vector<std::string>& list, const std::string& name) {
  return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
}

std::string label_of(const QuantizerVariant& row, int rate) {
  return fmt::format("{}-{}", row.label, rate);
}

// Calls take(row, rate) for all combinations that exist and were asked for.
template <class Take>
void for_each_cell(const Take& take) {
  for (int bits : kBits)
    for (const QuantizerVariant& row : quantizer_variants()) {
      const int rate = bits * latents;
      if (wanted(rates_wanted, std::to_string(rate)) && wanted(rows_wanted, row.label) &&
          !(row.halves_bits && bits % 2 == 1) && !(row.grouped && is_grouped(rate)) &&
          !(row.two_levels && !has_hierarchy))
        take(row, rate);
    }
}

// The preset that all rows share.
const std::string& preset_of(const Study& study) {
  return study.options().presets.front();
}

void check_wanted(const Study& study) {
  if (study.options().presets.size() != 1)
    throw UsageError("--preset", "the quantizers are compared on one preset, not on several");

  const auto known = [](const std::string& name) {
    return std::any_of(quantizer_variants().begin(), quantizer_variants().end(),
                       [&](const QuantizerVariant& row) { return name == row.label; });
  };
  for (const std::string& name : rows_wanted)
    if (!known(name)) throw UsageError("--quantizers", "there is no quantizer " + name);
  for (const std::string& rate : rates_wanted)
    if (std::none_of(std::begin(kBits), std::end(kBits),
                     [&](int bits) { return rate == std::to_string(bits * latents); }))
      throw UsageError("--rates",
                       fmt::format("{} is none of {}, {} and {} bits per image", rate,
                                   kBits[0] * latents, kBits[1] * latents, kBits[2] * latents));
}

// Layers and groups are compared with a single symbol at rates that can be halved.
void plan(Study& study) {
  const Shape& images = study.runs().images().train.images.shape();
  const int64_t side = study.options().run.downsampling;
  latents = static_cast<int>((images[1] / side) * (images[2] / side));
  has_hierarchy = images[1] % (2 * side) == 0 && images[2] % (2 * side) == 0;
  check_wanted(study);
  for_each_cell([&](const QuantizerVariant& row, int rate) {
    study.add(label_of(row, rate), preset_of(study), [&](RunOptions& o) {
      const int bits = rate / (row.two_levels ? latents + latents / 4 : latents);
      o.codes = int64_t{1} << (row.halves_bits || is_grouped(rate) ? bits / 2 : bits);
      if (is_grouped(rate) && !row.halves_bits) o.groups = 2;
      row.change(o);
    });
  });
}

struct Column {
  const char *title, *metric;
  int decimals;
  double factor = 1;
  const char* file = "metrics.csv";
};
constexpr Column kColumns[] = {
    {"Test MSE", "test_recon_loss", 4},
    {"Test PSNR", "test_psnr", 2},
    {"Bits per image", "test_nominal_bits_per_image", 1},
    {"Entropy (bits per image)", "test_bits_per_image", 1},
    {"Perplexity (test set)", "test_data_perplexity", 1},
    {"Codes used", "test_codes_used", 0},
    {"Usage", "test_usage", 3},
    {"mse(e,q)/var(e)", "test_quantization_ratio", 3},
    {"Mean λ", "test_mean_lambda", 2},
    {"Peak memory (MiB)", "peak_bytes", 0, 1.0 / (1 << 20), "timing.csv"}};

double seconds_per_epoch(const Series& series) {
  std::vector<double> seconds;
  for (const Run& run : series.runs)
    for (double s : record_of(run).seconds) seconds.push_back(s);
  return seconds.empty() ? std::nan("") : median(seconds);
}

Table table_of(const Study& study, int rate) {
  Table table;
  table.file = fmt::format("table_quantizers-{}", rate);
  table.title = fmt::format("Quantizers at {} bits per image", rate);
  table.columns = {"quantizer"};
  for (const Column& c : kColumns) table.columns.push_back(c.title);
  table.columns.push_back("s/epoch");
  for_each_cell([&](const QuantizerVariant& row, int r) {
    if (r != rate) return;
    const Series& series = study.find(label_of(row, rate), preset_of(study));
    std::vector<std::string> cells{row.label};
    for (const Column& c : kColumns) {
      const Summary s = series.at(c.metric, 0, c.file);
      cells.push_back(to_text({s.n, c.factor * s.mean, c.factor * s.deviation}, c.decimals));
    }
    const double seconds = seconds_per_epoch(series);
    cells.push_back(std::isnan(seconds) ? "failed" : fmt::format("{:.1f}", seconds));
    table.rows.push_back(std::move(cells));
  });
  return table;
}

// What the sentences compare: one quantizer at one rate.
struct Result {
  const QuantizerVariant* row;
  double mse, usage, entropy, seconds;
};

std::vector<Result> results_at(const Study& study, int rate) {
  std::vector<Result> all;
  for_each_cell([&](const QuantizerVariant& row, int r) {
    if (r != rate) return;
    const Series& series = study.find(label_of(row, rate), preset_of(study));
    if (series.runs.empty()) return;
    all.push_back({&row, series.at("test_recon_loss").mean, series.at("test_usage").mean,
                   series.at("test_bits_per_image").mean, seconds_per_epoch(series)});
  });
  return all;
}

// The first rule that fits, from the numbers alone.
std::string advice(const Result& r, const std::vector<Result>& all) {
  const auto best_of = [&](auto value) {
    double best = std::numeric_limits<double>::infinity();
    for (const Result& other : all) best = std::min(best, value(other));
    return best;
  };
  const double best = best_of([](const Result& x) { return x.mse; });
  const double near = best_of([&](const Result& x) {
    return x.mse <= 1.03 * best ? x.seconds : std::numeric_limits<double>::infinity();
  });
  const bool frugal = std::any_of(all.begin(), all.end(), [&](const Result& x) {
    return x.mse <= r.mse && x.entropy <= r.entropy && (x.mse < r.mse || x.entropy < r.entropy);
  });
  if (r.mse == best) return "use it where the error of the picture is what counts";
  if (r.mse <= 1.03 * best && r.seconds <= 1.001 * near)
    return "use it where time counts too: nothing within 3 % of the best is faster";
  if (r.mse <= 1.1 * best && r.usage >= 0.95)
    return "use it where every code must be in use, at little cost in error";
  if (!frugal)
    return "use it where an entropy coder follows: nothing here has less error at fewer bits";
  return "these numbers do not speak for it: another has less error with no more bits";
}

void add_sentences(const Study& study, int rate, Section& section) {
  const std::vector<Result> all = results_at(study, rate);
  double best = std::numeric_limits<double>::infinity();
  for (const Result& r : all) best = std::min(best, r.mse);
  for (const Result& r : all)
    section.findings.push_back(fmt::format(
        "{} ({}): at {} bits test MSE {:.4f}, {:+.1f} % of the best; {:.0f} % usage, "
        "{:.0f} bits of entropy, {:.1f} s per epoch: {}{}",
        r.row->label, r.row->what, rate, r.mse, 100 * (r.mse / best - 1), 100 * r.usage, r.entropy,
        r.seconds, advice(r, all), section.scale.empty() ? "." : " (scaled down)."));
}

Plot rate_distortion(const Study& study) {
  Plot plot;
  plot.file = "table_quantizers-rate-distortion";
  plot.title = "Test PSNR over the entropy of the codes";
  plot.x_label = "bits per image (entropy)";
  plot.y_label = "PSNR (dB)";
  int colour = 0;
  for (const QuantizerVariant& row : quantizer_variants()) {
    Curve curve{row.label, {}, {}, colour % 8, colour / 8};
    for_each_cell([&](const QuantizerVariant& r, int rate) {
      const Series* series =
          &r == &row ? &study.find(label_of(r, rate), preset_of(study)) : nullptr;
      if (series == nullptr || series->runs.empty()) return;
      curve.x.push_back(series->at("test_bits_per_image").mean);
      curve.y.push_back(series->at("test_psnr").mean);
    });
    if (curve.x.empty()) continue;
    plot.curves.push_back(std::move(curve));
    ++colour;
  }
  return plot;
}

void fill_section(const Study& study, Section& section) {
  section.title = "Quantizers at equal bit-rate";
  section.notes.push_back(
      "The paper has no such table. Bits per image: at log2 K for each symbol, and the entropy of "
      "the symbols' use over the test set, which an ideal entropy coder needs. All share network "
      "(but vqvae2, a model of its own), steps and seeds, and the rest of preset " +
      preset_of(study) +
      ". At 20 bits per latent every quantizer is used in two groups (grouped is ste then), "
      "residual ones with two codebooks of 1,024.");
  if (!has_hierarchy)
    section.notes.push_back(
        "vqvae2 is left out: it needs an even number of latents in height and width.");
  int shown = 0;
  for (int bits : kBits) {
    const int rate = bits * latents;
    if (!wanted(rates_wanted, std::to_string(rate))) continue;
    section.tables.push_back(table_of(study, rate));
    if (shown == 0 || bits == kMainBits) shown = rate;
  }
  add_plot(section, study.options().results, rate_distortion(study),
           "Rate and distortion: up and to the left is better.");
  add_sentences(study, shown, section);
}

}  // namespace

int main(int argc, char** argv) {
  Experiment e{.name = "table_quantizers",
               .summary = "All quantizers compared at equal bit-rate. Trains what is missing.",
               .own = {"--quantizer", "--estimator", "--owner", "--codes", "--levels", "--groups",
                       "--layers", "--shared-codebook", "--layer-dropout", "--codebook-dim",
                       "--cosine", "--soft-em", "--codebook-start", "--accumulators", "--model"},
               .presets = {"versor"}};
  e.paper_codes = 0;
  e.add_options = [](Options& app) {
    app.add_option("--rates", rates_wanted,
                   "bits per image, 5, 10 or 20 per latent: of 320,640,1280 for 32 x 32 pixels; "
                   "default all")
        ->delimiter(',');
    app.add_option("--quantizers", rows_wanted, "some rows of the table; default all")
        ->delimiter(',');
  };
  e.plan = plan;
  e.fill_section = fill_section;
  return run_experiment(argc, argv, e);
}
