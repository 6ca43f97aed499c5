// The figures of an epoch: plain means over batches, worked out by hand here; the columns of
// metrics.csv; and a round trip that loses no bit.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "experiments/run/metrics.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

Variable scalar(float value) {
  return Variable(Tensor::from(std::vector<float>{value}, {1}));
}

// One batch of two rows of length 2, with four codes.
struct Batch {
  float total, reconstruction, codebook, commitment;
  std::vector<float> latents;  // [1,1,2,2]
  std::vector<int32_t> counts;
  std::vector<float> codes;  // [2,2] q of the two latents
  int replaced;              // -1: none could be replaced
};

void add(PassMetrics& metrics, const Batch& batch) {
  VqVaeOutput output;
  output.reconstruction = Variable(ops::zeros({1, 4, 8, 3}));
  QuantizedLatents& level = output.levels.emplace_back();
  level.latents = Variable(Tensor::from(batch.latents, {1, 1, 2, 2}));
  level.quantized.input = level.latents.value().flat_rows();
  level.quantized.error = scalar(batch.commitment).value();
  level.quantized.counts = Tensor::from(batch.counts, {1, 4});
  level.quantized.codes = Tensor::from(batch.codes, {2, 2});
  Tensor replaced;
  if (batch.replaced >= 0) replaced = Tensor::from(std::vector<int32_t>{batch.replaced}, {1});
  const VqVaeLoss loss{scalar(batch.total), scalar(batch.reconstruction), scalar(batch.codebook),
                       scalar(batch.commitment)};
  // In row 1 of a log of two batches.
  MetricsLog log(2, 4, Device());
  const StepResult step{{{BatchPart::of(1, 0, 1), output, loss}}, replaced};
  log.record(step, Tensor::from(std::vector<int32_t>{1}, {1}));
  metrics.add(log, 1, 2);
}

// Variances per element: latents (1,2),(3,6): columns' variances 1 and 4, mean 2.5;
// (0,0),(2,0): 1 and 0, mean 0.5.
// Lambda and angle: 3 and 0, 1 and pi/2; then 1 and 0 (a vector without direction), 2 and pi/2.
const Batch kFirst = {1.f, 0.25f, 0.5f, 0.5f, {1, 2, 3, 6}, {2, 0, 0, 0}, {3, 6, -6, 3}, 1};
const Batch kSecond = {2.f, 0.75f, 1.f, 1.f, {0, 0, 2, 0}, {1, 1, 0, 0}, {1, 1, 0, 4}, -1};
constexpr double kMeanAngle = std::numbers::pi / 4;

PassMetrics two_batches() {
  PassMetrics metrics(4);
  add(metrics, kFirst);
  add(metrics, kSecond);
  return metrics;
}

// Values that would be rounded as decimal text.
PassMetrics awkward() {
  PassMetrics metrics(4);
  add(metrics, {0.1f,
                1.f / 3,
                1e-30f,
                0.7f,
                {0.1f, 0.2f, 0.3f, 0.7f},
                {7, 1, 3, 2},
                {1.1f, 0.9f, 0.3f, 0},
                2});
  add(metrics,
      {1e20f, 1e-7f, 3e7f, 0.2f, {5, -1, 0.01f, 3}, {1, 5, 0, 1}, {1.3f, 0.7f, 0.1f, 1}, 3});
  return metrics;
}

}  // namespace

TEST_CASE("metrics: plain means over batches") {
  const PassMetrics m = two_batches();
  CHECK(m.batches() == 2);
  CHECK(m.loss() == 1.5);
  CHECK(m.reconstruction_loss() == 0.5);
  CHECK(m.codebook_loss() == 0.75);
  CHECK(m.commitment_loss() == 0.75);
  CHECK(m.perplexity() == doctest::Approx(1.5).epsilon(1e-6));     // of 1 and of 2 codes
  CHECK(m.psnr() == doctest::Approx(9.0308998699).epsilon(1e-9));  // 10 log10(4 / 0.5)
  // (0.5 / 2.5 + 1 / 0.5) / 2
  CHECK(m.quantization_ratio() == doctest::Approx(1.1).epsilon(1e-6));
  CHECK(m.max_lambda() == doctest::Approx(3).epsilon(1e-6));
  CHECK(m.mean_lambda() == doctest::Approx(1.75).epsilon(1e-6));
  CHECK(m.mean_angle() == doctest::Approx(kMeanAngle).epsilon(1e-6));
  CHECK(m.replaced_codes() == 1);
}

TEST_CASE("metrics: the whole pass's histogram") {
  const PassMetrics m = two_batches();  // 3 and 1 of 4
  CHECK(m.histogram().used() == 2);
  CHECK(m.histogram().usage() == 0.5);
  const double entropy = -(0.75 * std::log(0.75) + 0.25 * std::log(0.25));
  CHECK(m.histogram().perplexity() == doctest::Approx(std::exp(entropy)).epsilon(1e-12));
}

TEST_CASE("metrics: latents that are all equal have no ratio, not an infinite one") {
  PassMetrics m(4);
  Batch batch = kFirst;
  batch.latents = {0, 0, 0, 0};
  add(m, batch);
  CHECK(m.quantization_ratio() == 0);
}

TEST_CASE("metrics: saved and loaded they are the same, bit for bit, and go on alike") {
  PassMetrics original = awkward();
  PassMetrics loaded(4);
  loaded.load(nlohmann::json::parse(original.save().dump()));
  CHECK(loaded.batches() == 2);
  CHECK(loaded.save() == original.save());
  const std::pair<double, double> values[] = {
      {loaded.loss(), original.loss()},
      {loaded.reconstruction_loss(), original.reconstruction_loss()},
      {loaded.codebook_loss(), original.codebook_loss()},
      {loaded.commitment_loss(), original.commitment_loss()},
      {loaded.perplexity(), original.perplexity()},
      {loaded.psnr(), original.psnr()},
      {loaded.quantization_ratio(), original.quantization_ratio()},
      {loaded.max_lambda(), original.max_lambda()},
      {loaded.mean_lambda(), original.mean_lambda()},
      {loaded.mean_angle(), original.mean_angle()},
      {loaded.replaced_codes(), original.replaced_codes()},
      {loaded.histogram().perplexity(), original.histogram().perplexity()}};
  for (const auto& [ours, theirs] : values) CHECK(ours == theirs);
  add(loaded, kFirst);
  add(original, kFirst);
  CHECK(loaded.save() == original.save());
  CHECK(metrics_row(1, loaded, loaded) == metrics_row(1, original, original));
}

TEST_CASE("metrics: an infinite loss survives the round trip") {
  PassMetrics original(4), loaded(4);
  Batch batch = kFirst;
  batch.total = std::numeric_limits<float>::infinity();
  add(original, batch);
  loaded.load(nlohmann::json::parse(original.save().dump()));
  CHECK(std::isinf(loaded.loss()));
}

TEST_CASE("metrics: a state of another codebook or another program is refused") {
  const nlohmann::json saved = two_batches().save();
  PassMetrics other(5);
  CHECK(contains(error_of([&] { other.load(saved); }), "4 codes, not 5"));
  nlohmann::json fewer = saved;
  fewer["sums"].erase(0);
  PassMetrics same(4);
  CHECK(contains(error_of([&] { same.load(fewer); }), "sums"));
}

TEST_CASE("metrics.csv: the columns of the published CSVs first, in their order, then ours") {
  const std::string header = metrics_header();
  CHECK(header.starts_with(
      "epoch,train_loss,train_recon_loss,train_codebook_loss,train_commitment_loss,"
      "train_perplexity,test_loss,test_recon_loss,test_codebook_loss,test_commitment_loss,"
      "test_perplexity,train_psnr,"));
  for (const char* pass : {"train", "test"})
    for (const char* column :
         {"psnr", "data_perplexity", "codes_used", "usage", "quantization_ratio", "max_lambda",
          "mean_lambda", "mean_angle", "replaced_codes"})
      CHECK(contains(header + ",", str(",", pass, "_", column, ",")));
  CHECK_FALSE(contains(header, "seconds"));
}

TEST_CASE("metrics.csv: a row is read back under its columns' names") {
  PassMetrics test(4);
  add(test, kSecond);
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.csv";
  versor::write_file(path, metrics_header() + "\n" + metrics_row(1, two_batches(), test) + "\n" +
                               metrics_row(2, test, two_batches()) + "\n");
  const MetricsTable table = read_metrics(path);
  CHECK(table.rows.size() == 2);
  CHECK(table.column("epoch") == std::vector<double>{1, 2});
  CHECK(table.column("train_loss") == std::vector<double>{1.5, 2});
  CHECK(table.column("test_loss") == std::vector<double>{2, 1.5});
  CHECK(table.last("train_recon_loss") == 0.75);
  CHECK(table.last("test_recon_loss") == 0.5);
  CHECK(table.last("test_codebook_loss") == 0.75);
  CHECK(table.last("test_replaced_codes") == 1);
  CHECK(table.last("test_max_lambda") == doctest::Approx(3).epsilon(1e-6));
  CHECK(table.last("test_mean_lambda") == doctest::Approx(1.75).epsilon(1e-6));
  CHECK(table.last("test_mean_angle") == doctest::Approx(kMeanAngle).epsilon(1e-6));
  CHECK(table.last("test_codes_used") == 2);
  CHECK(table.last("test_usage") == 0.5);
  CHECK(table.last("test_psnr") == doctest::Approx(9.0309).epsilon(1e-7));
  CHECK(table.last("test_quantization_ratio") == doctest::Approx(1.1).epsilon(1e-6));
}

TEST_CASE("metrics.csv: what is wrong with a file is said with its name") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.csv";
  const auto error = [&](const std::string& text) {
    versor::write_file(path, text);
    return error_of([&] { read_metrics(path); });
  };
  CHECK(contains(error_of([&] { read_metrics(folder / "none.csv"); }), folder / "none.csv"));
  for (const char* text : {"a,b\n1,x\n", "a,b\n1,\n", "a,b\n1,2 \n", "a,b\n1\n", "a,b\n1,2,3\n"}) {
    CAPTURE(text);
    CHECK(contains(error(text), path));
  }
  CHECK(contains(error("a,b\n1,x\n"), "\"x\" is not a number"));
  CHECK(contains(error("a,b\n1,2,3\n"), "3 cells, the heading 2"));
  CHECK(error("a,b\n1,-2e-3\n") == "");
  CHECK(contains(error_of([&] { read_metrics(path).last("c"); }), path + ": no column c"));
  CHECK(error("a,b\n") == "");
  CHECK(contains(error_of([&] { read_metrics(path).last("a"); }), "no rows"));
}

}  // namespace versor::testing
