// Metrics of an epoch: see metrics.h.
#include "experiments/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {

// Total variance of the rows e [R,D] per element: mean of e^2 - mean over d of (mean of e[:,d])^2.
double variance(const Tensor& e) {
  const double mean_square =
      ops::sum(ops::unary(e, UnaryOp::square)).item() / static_cast<double>(e.numel());
  double mean_squared = 0;
  for (float s : ops::sum_rows(e).to_vector<float>())
    mean_squared += std::pow(s / static_cast<double>(e.dim(0)), 2);
  return mean_square - mean_squared / static_cast<double>(e.dim(1));
}

std::string hex(double value) {
  return fmt::format("{:a}", value);
}

struct Column {
  const char* name;
  double (*value)(const PassMetrics&);
};

// The columns of the published CSVs, then ours.
constexpr Column kPublished[] = {
    {"loss", [](const PassMetrics& m) { return m.loss(); }},
    {"recon_loss", [](const PassMetrics& m) { return m.reconstruction_loss(); }},
    {"codebook_loss", [](const PassMetrics& m) { return m.codebook_loss(); }},
    {"commitment_loss", [](const PassMetrics& m) { return m.commitment_loss(); }},
    {"perplexity", [](const PassMetrics& m) { return m.perplexity(); }}};
constexpr Column kOurs[] = {
    {"psnr", [](const PassMetrics& m) { return m.psnr(); }},
    {"data_perplexity", [](const PassMetrics& m) { return m.histogram().perplexity(); }},
    {"codes_used", [](const PassMetrics& m) { return static_cast<double>(m.histogram().used()); }},
    {"usage", [](const PassMetrics& m) { return m.histogram().usage(); }},
    {"quantization_ratio", [](const PassMetrics& m) { return m.quantization_ratio(); }},
    {"max_lambda", [](const PassMetrics& m) { return m.max_lambda(); }},
    {"mean_lambda", [](const PassMetrics& m) { return m.mean_lambda(); }},
    {"mean_angle", [](const PassMetrics& m) { return m.mean_angle(); }},
    {"replaced_codes", [](const PassMetrics& m) { return m.replaced_codes(); }}};

}  // namespace

std::vector<double*> PassMetrics::Sums::all() {
  return {&loss,  &reconstruction, &codebook, &commitment, &perplexity,
          &ratio, &lambda,         &angle,    &max_lambda, &replaced};
}

void PassMetrics::add(const VqVaeOutput& output, const VqVaeLoss& loss, const Tensor& geometry) {
  const auto stats = geometry.to_vector<float>();
  const Tensor e = output.latents.value().flat_rows();
  const double commitment = output.commitment_loss.item(), var = variance(e);
  last_loss_ = loss.total.item();
  sums_.loss += last_loss_;
  sums_.reconstruction += loss.reconstruction.item();
  sums_.codebook += output.codebook_loss.item();
  sums_.commitment += commitment;
  sums_.perplexity += vq::perplexity(output.quantized.counts).item();
  sums_.ratio += var > 0 ? commitment / var : 0.0;
  sums_.max_lambda = std::max(sums_.max_lambda, static_cast<double>(stats[0]));
  sums_.lambda += stats[1];
  sums_.angle += stats[2];
  if (output.quantized.replaced.defined())
    sums_.replaced += output.quantized.replaced.to_vector<int32_t>()[0];
  histogram_.add(output.quantized.counts);
  ++batches_;
}

double PassMetrics::psnr() const {
  return 10 * std::log10(4 / reconstruction_loss());
}
double PassMetrics::quantization_ratio() const {
  return mean(sums_.ratio);
}

nlohmann::json PassMetrics::save() const {
  Sums copy = sums_;
  nlohmann::json sums = nlohmann::json::array();
  for (const double* sum : copy.all()) sums.push_back(hex(*sum));
  UsageHistogram histogram = histogram_;
  return {{"sums", sums}, {"batches", batches_}, {"counts", histogram.counts()}};
}

void PassMetrics::load(const nlohmann::json& saved) {
  const auto targets = sums_.all();
  const auto& sums = saved.at("sums");
  check(sums.size() == targets.size(), "metrics", "saved state has ", sums.size(), " sums, not ",
        targets.size());
  for (size_t i = 0; i < targets.size(); ++i)
    *targets[i] = std::strtod(sums[i].get<std::string>().c_str(), nullptr);
  batches_ = saved.at("batches").get<int64_t>();
  auto counts = saved.at("counts").get<std::vector<int64_t>>();
  check(counts.size() == histogram_.counts().size(), "metrics", "saved histogram has ",
        counts.size(), " codes, not ", histogram_.counts().size());
  histogram_.counts() = std::move(counts);
}

std::string metrics_header() {
  std::string line = "epoch";
  for (const char* pass : {"train", "test"})
    for (const Column& c : kPublished) line += fmt::format(",{}_{}", pass, c.name);
  for (const char* pass : {"train", "test"})
    for (const Column& c : kOurs) line += fmt::format(",{}_{}", pass, c.name);
  return line;
}

std::string metrics_row(int64_t epoch, const PassMetrics& train, const PassMetrics& test) {
  std::string line = std::to_string(epoch);
  for (const PassMetrics* pass : {&train, &test})
    for (const Column& c : kPublished) line += fmt::format(",{:.8g}", c.value(*pass));
  for (const PassMetrics* pass : {&train, &test})
    for (const Column& c : kOurs) line += fmt::format(",{:.8g}", c.value(*pass));
  return line;
}

double MetricsTable::last(const std::string& name) const {
  return column(name).back();
}

std::vector<double> MetricsTable::column(const std::string& name) const {
  const auto it = std::find(columns.begin(), columns.end(), name);
  check(it != columns.end() && !rows.empty(), "metrics", "no column ", name, " or no rows");
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(row[static_cast<size_t>(it - columns.begin())]);
  return values;
}

MetricsTable read_metrics(const std::string& path) {
  std::ifstream file(path);
  check(file.is_open(), "metrics", "cannot open ", path);
  const auto split = [](const std::string& line) {
    std::vector<std::string> cells;
    size_t begin = 0;
    for (size_t end; (end = line.find(',', begin)) != std::string::npos; begin = end + 1)
      cells.push_back(line.substr(begin, end - begin));
    cells.push_back(line.substr(begin));
    return cells;
  };
  MetricsTable table;
  std::string line;
  std::getline(file, line);
  table.columns = split(line);
  while (std::getline(file, line)) {
    std::vector<double> row;
    for (const std::string& cell : split(line)) {
      char* end = nullptr;
      row.push_back(std::strtod(cell.c_str(), &end));
      check(!cell.empty() && *end == '\0', "metrics", path, ": \"", cell, "\" is not a number");
    }
    check(row.size() == table.columns.size(), "metrics", path, ": a row has ", row.size(),
          " cells, the heading ", table.columns.size());
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace versor
