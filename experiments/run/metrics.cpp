// Metrics of an epoch: see metrics.h.
#include "experiments/run/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "experiments/cli/json_file.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {

// The columns of a MetricsLog.
enum Logged {
  kLoss,
  kReconstruction,
  kCodebook,
  kCommitment,
  kError,
  kPerplexity,
  kMeanSquare,   // mean of e^2
  kSquaredMean,  // mean over d of (mean of e[:,d])^2; the difference is the variance of e
  kMaxLambda,
  kMeanLambda,
  kMeanAngle,
  kReplaced,
  kImages,
  kLoggedColumns
};

constexpr const char* kSaved = "the saved state";

// Bytes, enough for some 40,000 epochs. Parsed rows take many times the memory of their text, which
// a hostile file could exploit.
constexpr uint64_t kLongestTable = uint64_t{16} << 20;

std::string hex(double value) {
  return fmt::format("{:a}", value);
}

double from_hex(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  check(!text.empty() && end == text.data() + text.size(), "metrics", kSaved, " has \"", text,
        "\" for a number");
  return value;
}

struct Column {
  const char* name;
  double (*value)(const PassMetrics&);
};

// The columns of the published CSVs, followed by our own.
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
    {"replaced_codes", [](const PassMetrics& m) { return m.replaced_codes(); }},
    {"bits_per_image", [](const PassMetrics& m) { return m.bits_per_image(); }},
    {"nominal_bits_per_image", [](const PassMetrics& m) { return m.nominal_bits_per_image(); }}};

}  // namespace

std::vector<double*> PassMetrics::Sums::all() {
  return {&loss,   &reconstruction, &codebook,   &commitment, &perplexity, &ratio,
          &lambda, &angle,          &max_lambda, &replaced,   &images};
}

MetricsLog::MetricsLog(int64_t batches, const Vocabulary& vocabulary, Device device)
    : table_(ops::zeros({batches, kLoggedColumns}, device)),
      counts_(ops::zeros({vocabulary.symbols, vocabulary.codes}, device, DType::i32)),
      none_(ops::zeros({1}, device, DType::i32)) {}

void MetricsLog::record(const VqVaeOutput& output, const VqVaeLoss& loss, const Tensor& replaced,
                        const Tensor& batch) {
  const Quantized& quantized = output.quantized();
  const Tensor counts = output.counts();
  const Tensor& e = quantized.input;
  const Tensor geometry = vq::geometry(about_origin(e, quantized.origin),
                                       about_origin(quantized.codes, quantized.origin));
  const Tensor sums = ops::sum_axis0(e);
  const auto mean_of_squares = [](const Tensor& x, double elements) {
    return ops::sum(ops::unary(x, UnaryOp::square), static_cast<float>(1 / elements));
  };
  const auto elements = static_cast<double>(e.numel()), rows = static_cast<double>(e.dim(0));
  std::vector<Tensor> values(kLoggedColumns);
  values[kLoss] = loss.total.value();
  values[kReconstruction] = loss.reconstruction.value();
  const auto or_none = [&](const Variable& term) { return term.defined() ? term.value() : none_; };
  values[kCodebook] = or_none(loss.codebook);
  values[kCommitment] = or_none(loss.commitment);
  values[kError] = quantized.error;
  values[kPerplexity] = vq::perplexity(counts);
  values[kMeanSquare] = mean_of_squares(e, elements);
  values[kSquaredMean] = mean_of_squares(sums, elements * rows);
  values[kMaxLambda] = geometry.rows(0, 1);
  values[kMeanLambda] = geometry.rows(1, 2);
  values[kMeanAngle] = geometry.rows(2, 3);
  values[kReplaced] = replaced.defined() ? replaced : none_;
  const int64_t images = output.reconstruction.shape()[0];
  values[kImages] = ops::full({1}, static_cast<float>(images), e.device());
  ops::write_row(table_, batch, values);
  ops::add_counts(counts_, counts);
}

void PassMetrics::add(MetricsLog& log, int64_t begin, int64_t end) {
  const auto rows = log.table_.rows(begin, end).to_vector<float>();
  for (size_t at = 0; at < rows.size(); at += kLoggedColumns) {
    const float* row = rows.data() + at;
    const double variance = static_cast<double>(row[kMeanSquare]) - row[kSquaredMean];
    sums_.loss += row[kLoss];
    sums_.reconstruction += row[kReconstruction];
    sums_.codebook += row[kCodebook];
    sums_.commitment += row[kCommitment];
    sums_.perplexity += row[kPerplexity];
    sums_.ratio += variance > 0 ? row[kError] / variance : 0.0;
    sums_.max_lambda = larger(sums_.max_lambda, static_cast<double>(row[kMaxLambda]));
    sums_.lambda += row[kMeanLambda];
    sums_.angle += row[kMeanAngle];
    sums_.replaced += row[kReplaced];
    sums_.images += row[kImages];
  }
  histogram_.add(log.counts_);
  ops::fill(log.counts_, 0.f);
  batches_ += end - begin;
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
  check(sums.size() == targets.size(), "metrics", kSaved, " has ", sums.size(), " sums, not ",
        targets.size());
  for (size_t i = 0; i < targets.size(); ++i) *targets[i] = from_hex(sums[i].get<std::string>());
  batches_ = count_in(saved.at("batches"), kSaved);
  std::vector<int64_t> counts;
  for (const auto& count : saved.at("counts")) counts.push_back(count_in(count, kSaved));
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
  check(it != columns.end() && !rows.empty(), "metrics", path, ": no column ", name, " or no rows");
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(row[static_cast<size_t>(it - columns.begin())]);
  return values;
}

MetricsTable read_metrics(const std::string& path) {
  return parse_metrics(read_file(path, kLongestTable), path);
}

MetricsTable parse_metrics(const std::string& text, const std::string& path) {
  std::istringstream file(text);
  const auto split = [](std::string_view line) {
    std::vector<std::string_view> cells;
    size_t begin = 0;
    for (size_t end; (end = line.find(',', begin)) != std::string_view::npos; begin = end + 1)
      cells.push_back(line.substr(begin, end - begin));
    cells.push_back(line.substr(begin));
    return cells;
  };
  MetricsTable table{path, {}, {}};
  std::string line;
  std::getline(file, line);
  for (const std::string_view name : split(line)) table.columns.emplace_back(name);
  while (std::getline(file, line) && !file.eof()) {
    std::vector<double> row;
    for (const std::string_view cell : split(line)) {
      double value = 0;  // a number out of range for f64 is refused: we never wrote it
      const char* end = cell.data() + cell.size();
      const auto [stop, error] = std::from_chars(cell.data(), end, value);
      check(stop == end && error == std::errc(), "metrics", path, ": \"", cell,
            "\" is not a number");
      row.push_back(value);
    }
    check(row.size() == table.columns.size(), "metrics", path, ": a row has ", row.size(),
          " cells, the heading ", table.columns.size());
    table.rows.push_back(std::move(row));
  }
  return table;
}

MetricsTable read_growing_metrics(const std::string& path) {
  if (!is_there(path)) return {path, {}, {}};
  MetricsTable table = read_metrics(path);
  check(table.columns.front() == "epoch", "metrics", path, " does not begin with its heading");
  return table;
}

}  // namespace versor
