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

namespace {

// What the log needs of a part of a batch, and then of all of them.
struct BatchNumbers {
  std::vector<Tensor> means;  // [1] each, over images or rows, in the order of kMeans
  Tensor column_sums;         // [d] of the vectors that are quantized
  Tensor counts;              // i32 [L,K]
  Tensor max_lambda;          // [1]
};
constexpr Logged kMeans[] = {kLoss,  kReconstruction, kCodebook,   kCommitment,
                             kError, kMeanSquare,     kMeanLambda, kMeanAngle};

Tensor mean_of_squares(const Tensor& x, double elements) {
  return ops::sum(ops::unary(x, UnaryOp::square), static_cast<float>(1 / elements));
}

BatchNumbers numbers_of(const StepPart& part, const Tensor& none) {
  const Quantized& quantized = part.output.quantized();
  const Tensor& e = quantized.input;
  const Tensor geometry = vq::geometry(about_origin(e, quantized.origin),
                                       about_origin(quantized.codes, quantized.origin));
  const auto or_none = [&](const Variable& term) { return term.defined() ? term.value() : none; };
  BatchNumbers numbers;
  numbers.means = {part.loss.total.value(),
                   part.loss.reconstruction.value(),
                   or_none(part.loss.codebook),
                   or_none(part.loss.commitment),
                   quantized.error,
                   mean_of_squares(e, static_cast<double>(e.numel())),
                   geometry.rows(1, 2),
                   geometry.rows(2, 3)};
  numbers.column_sums = ops::sum_axis0(e);
  numbers.counts = part.output.counts();
  numbers.max_lambda = geometry.rows(0, 1);
  return numbers;
}

// The numbers of the batch from those of this rank's parts.
BatchNumbers over_parts(const std::vector<StepPart>& parts, const Tensor& none,
                        Communicator& communicator) {
  BatchNumbers all = numbers_of(parts[0], none);
  if (parts.size() == 1 && communicator.is_alone()) return all;
  Tensor packed;  // the means and the column sums: [1, means + d]
  for (size_t p = 0; p < parts.size(); ++p) {
    const BatchNumbers numbers = p == 0 ? all : numbers_of(parts[p], none);
    const float weight = parts[p].part.weight();
    std::vector<Tensor> columns;
    for (const Tensor& mean : numbers.means)
      columns.push_back(ops::affine(mean, weight, 0.f, DType::f32).reshape({1, 1}));
    const float counted = parts[p].part.is_empty() ? 0.f : 1.f;
    columns.push_back(
        ops::scaled(numbers.column_sums, counted).reshape({1, all.column_sums.numel()}));
    const Tensor row = ops::concat(columns);
    if (p == 0) {
      packed = row;
      all.counts = ops::clone(all.counts);
      all.max_lambda = ops::clone(all.max_lambda);
      continue;
    }
    ops::add_to(packed, row);
    ops::add_counts(all.counts, numbers.counts);
    all.max_lambda = ops::binary(all.max_lambda, numbers.max_lambda, BinaryOp::maximum);
  }
  communicator.all_reduce(packed);
  communicator.all_reduce(all.counts);
  communicator.all_reduce(all.max_lambda, Reduction::max);
  const Tensor row = packed.reshape({packed.numel()});
  const auto means = static_cast<int64_t>(all.means.size());
  for (int64_t i = 0; i < means; ++i) all.means[static_cast<size_t>(i)] = row.rows(i, i + 1);
  all.column_sums = row.rows(means, row.numel());
  return all;
}

}  // namespace

void MetricsLog::record(const StepResult& step, const Tensor& batch, Communicator& communicator) {
  const BatchPart& part = step.parts[0].part;
  const Tensor& e = step.output().quantized().input;
  const int64_t rows = e.dim(0) / step.parts.back().part.worked_count() * part.images;
  const BatchNumbers numbers = over_parts(step.parts, none_, communicator);
  std::vector<Tensor> values(kLoggedColumns);
  for (size_t i = 0; i < numbers.means.size(); ++i) values[kMeans[i]] = numbers.means[i];
  values[kPerplexity] = vq::perplexity(numbers.counts);
  values[kSquaredMean] = mean_of_squares(
      numbers.column_sums, static_cast<double>(rows * e.dim(1)) * static_cast<double>(rows));
  values[kMaxLambda] = numbers.max_lambda;
  values[kReplaced] = step.replaced.defined() ? step.replaced : none_;
  values[kImages] = ops::full({1}, static_cast<float>(part.images), e.device());
  ops::write_row(table_, batch, values);
  ops::add_counts(counts_, numbers.counts);
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
