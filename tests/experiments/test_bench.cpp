// bin/bench: what it measures, that --json agrees with the text, and wrong usage.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/bench/convolution_benchmark.h"
#include "experiments/bench/nearest_benchmark.h"
#include "experiments/bench/quantizer_benchmark.h"
#include "experiments/bench/step_benchmark.h"
#include "experiments/bench/step_sweep.h"
#include "experiments/report/statistics.h"
#include "experiments/run/quantizer_variants.h"
#include "tensor/cpu/matmul.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

StepConfiguration tiny_step(Precision precision = Precision::fp32) {
  return {.device = {}, .precision = precision, .batch = 2, .latent = 8, .codes = 8, .threads = 1};
}

// The words of the first line that begins with `head`, from line `from` on.
std::vector<std::string> line_words(const std::string& text, const std::string& head,
                                    size_t from = 0) {
  const std::vector<std::string> all = lines(text);
  for (size_t i = from; i < all.size(); ++i)
    if (all[i].starts_with(head)) return words(all[i]);
  FAIL("no line begins with '" << head << "'");
  return {};
}

std::string mib(const nlohmann::json& bytes) {
  return fmt::format("{:.1f}", bytes.get<double>() / (1 << 20));
}

std::string fixed(const nlohmann::json& number) {
  return fmt::format("{:.3f}", number.get<double>());
}

// The configuration whose text begins at line `from`.
void check_configuration(const std::string& text, size_t from, const nlohmann::json& j) {
  CAPTURE(j["precision"].get<std::string>());
  CHECK(line_words(text, "step", from)[1] == fixed(j["step_ms"]));
  CHECK(j["step_ms_each"].size() == 2);
  if (cpu::use_onednn()) {
    CHECK(line_words(text, "floor", from)[1] == fixed(j["floor_ms"]));
    CHECK(line_words(text, "ratio", from)[1] == fixed(j["ratio"]));
    CHECK(j["ratio"].get<double>() ==
          doctest::Approx(j["step_ms"].get<double>() / j["floor_ms"].get<double>()));
    CHECK(j["floor"].size() == 9);
  } else {
    CHECK(contains(text, j["no_floor"].get<std::string>()));
  }
  const auto primitive = j["primitives"][0];
  const std::string name = primitive["name"].get<std::string>();  // perhaps two words
  const auto row = line_words(text, "  " + name + " ", from);
  CHECK(row[words(name).size() + 1] == fixed(primitive["ms"]));
  CHECK(line_words(text, "  saved", from)[2] == mib(j["memory_bytes"]["saved_activations"]));
  CHECK(line_words(text, "  needed", from)[1] == mib(j["memory_bytes"]["needed"]));
  CHECK(line_words(text, "  peak", from)[4] ==
        fmt::format("{:.1f}", j["peak_bytes"].get<double>() / (1 << 20)));
}

}  // namespace

TEST_CASE("bench: the convolutions of a step at the paper's size") {
  double flops = 0;
  int64_t passes = 0;
  for (const StepConvolution& c : step_convolutions(128, 32, 256)) {
    flops += static_cast<double>(c.count) * c.flops();
    passes += c.count;
  }
  // by hand: 24 of 9.66 GFLOP, 6 of 8.59, 5 of 0.403
  CHECK(flops == 24 * 9663676416. + 6 * 8589934592. + 5 * 402653184.);
  CHECK(passes == 35);
}

// As many multiplications as the primitives of a step report themselves.
TEST_CASE("bench: the convolutions of a step on other images and of a deeper network") {
  StepConfiguration what;
  what.batch = 2;
  what.latent = what.codes = 8;
  what.image = 48;
  what.downsampling = 16;
  StepBenchmark benchmark(what);
  double counted = 0, listed = 0;
  for (const auto& [name, entry] : benchmark.profile(1))
    if (name.starts_with("conv")) counted += entry.flops;
  for (const StepConvolution& c : step_convolutions(2, 48, 8, 16))
    listed += static_cast<double>(c.count) * c.flops();
  CHECK(counted == listed);
}

TEST_CASE("bench: the bytes of a convolution's tensors") {
  // x [2,8,8,3], weight [5,4,4,3], y [2,4,4,5]; the gradient of the weights is f32 in both
  const int64_t images = 2 * 8 * 8 * 3 + 2 * 4 * 4 * 5, weights = 5 * 4 * 4 * 3;
  for (Pass pass : {Pass::forward, Pass::grad_input, Pass::grad_weight}) {
    const StepConvolution c{"", 2, 8, 8, 3, 5, 4, 2, 1, pass, 1};
    CHECK(c.bytes(DType::f32) == 4 * images + 4 * weights);
    CHECK(c.bytes(DType::bf16) == 2 * images + (pass == Pass::grad_weight ? 4 : 2) * weights);
  }
}

// Counted from the primitives' own descriptors, whatever formats the library chose for them.
TEST_CASE("bench: the floor's primitives have the tensors of a step of that precision" *
          doctest::skip(!cpu::use_onednn())) {
  for (DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !cpu::has_bf16_products()) continue;
    const auto floor = onednn_floor(step_convolutions(2, 32, 32), type);
    floor->measure_once();
    CHECK(floor->seconds() > 0);
    const std::vector<FloorItem> items = floor->items();
    CHECK(items.size() == 9);
    for (const FloorItem& item : items) {
      CAPTURE(item.conv.name());
      CHECK(item.bytes == item.conv.bytes(type));
    }
  }
}

TEST_CASE("bench: no floor where there is none, and it says why") {
  std::string why;
  const auto floor = make_floor(tiny_step(Precision::bf16), why);
  CHECK((floor != nullptr) == (cpu::use_onednn() && cpu::has_bf16_products()));
  CHECK(why.empty() == (floor != nullptr));
}

TEST_CASE("bench: the memory of a step, item by item") {
  // D 8, K 8: 3x3 convolutions of the four blocks, two 4x4 layers on either side, with biases
  const size_t parameters =
      4 * (8 * (9 * 8 * 8 + 8) + (16 * 3 * 4 + 4) + 2 * (16 * 4 * 8) + 8 + 4 + (16 * 4 * 3 + 3));
  const auto memory = [] { return measure_step(tiny_step(), 1).memory; };
  const StepMemory m = memory();
  CHECK(m.parameters == parameters);
  CHECK(m.moments == 2 * parameters);
  CHECK(m.codebook == 4 * (8 * 8 + 8 + 8 * 8));
  CHECK(m.batch == 4 * 2 * 32 * 32 * 3);
  CHECK(m.before >= m.parameters + m.moments + m.codebook + m.batch);
  CHECK(m.saved > 0);
  CHECK(m.peak >= m.before + m.saved);
  const Tensor other = ops::zeros({1000});  // memory held by others is not the step's
  CHECK(memory().peak == m.peak);
}

TEST_CASE("bench: every convolution beside the direct one, with errors against f64") {
  for (const StepConvolution& conv : step_convolutions(2, 16, 64)) {
    CAPTURE(conv.name());
    if (!cpu::use_onednn()) {
      CHECK_THROWS_AS(measure_convolution(conv, DType::f32, 1), Error);
      continue;
    }
    const ConvolutionMeasurement m = measure_convolution(conv, DType::f32, 1);
    CHECK(m.seconds > 0);
    CHECK(m.direct_seconds > 0);
    CHECK(m.scratch_bytes < 32 << 20);
    for (double error : {m.error, m.direct_error}) {  // a wrong element would make it about 1
      CHECK(error > 0);
      CHECK(error < 1e-5);
    }
  }
}

TEST_CASE("bench: the search beside its products, without ever holding all scores") {
  const NearestMeasurement m = measure_nearest(4096, 4096, 8, {}, 1);
  CHECK(m.flops() == 2. * 4096 * 4096 * 8);
  CHECK(m.seconds > 0);
  CHECK(m.product_seconds > 0);
  CHECK((m.bf16_product_seconds > 0) == cpu::has_bf16_products());
  CHECK(m.peak_bytes >= 4 * 4096);  // the result
  CHECK(m.peak_bytes < 4 << 20);    // all scores would be 64 MiB
}

TEST_CASE("bench: every quantizer beside the plain one") {
  StepConfiguration what = tiny_step();
  what.latent = 32;  // so that a projection to fewer columns is one
  what.codes = 16;
  std::vector<std::string> names;
  measure_quantizers(what, 1, [&](const QuantizerMeasurement& m) {
    CAPTURE(m.name);
    names.push_back(m.name);
    CHECK(m.symbols == (m.name.starts_with("residual") || m.name == "grouped" ? 2 : 1));
    CHECK(m.codes == 16);  // FSQ: 8 x 2
    CHECK(m.score_bytes == 4 * 128 * 16);
    for (double positive : {m.seconds, m.to_plain, m.step_seconds, m.step_to_plain})
      CHECK(positive > 0);
    CHECK((m.step_by_parts > 1) == (m.to_plain > 1));
    CHECK(m.peak_bytes > 4 * 128 * 32);  // the value at least
  });
  CHECK(names.size() == quantizer_variants().size() - 1);
  CHECK(names.front() == quantizer_variants().front().label);
  CHECK(std::find(names.begin(), names.end(), "vqvae2") == names.end());
}

TEST_CASE("bench: sizes and growth around a configuration") {
  std::vector<std::vector<int64_t>> sizes, expected{{2, 1}, {2, 2}, {2, 8}, {8, 1}, {8, 2}, {8, 8}};
  measure_sizes(tiny_step(), {Precision::fp32}, 1, [&](const StepMeasurement& m) {
    sizes.push_back({m.what.latent, m.what.batch});
    CHECK(m.step_seconds() > 0);
  });
  CHECK((sizes == expected));
  std::vector<std::string> growth;
  StepConfiguration base = tiny_step();
  base.threads = 2;
  measure_growth(base, 1, [&](const Growth& g) {
    growth.push_back(g.axis + " " + std::to_string(g.value));
    CHECK(g.ratio > 0);
  });
  const std::vector<std::string> values{"batch 1", "batch 2", "batch 4", "batch 8", "K 2",
                                        "K 4",     "K 8",     "K 16",    "K 32",    "D 2",
                                        "D 4",     "D 8",     "D 16",    "cores 1", "cores 2"};
  CHECK((growth == values));
}

TEST_CASE("bench: --json holds what the text says" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string json = folder / "bench.json";
  const Ended ended =
      run("bench --batch 2 --latent 8 --codes 8 --repeats 2 --threads 1 --precision fp32,bf16,fp32 "
          "--epoch 3 --sweep --quantizers --json " +
          json);
  CHECK(ended.code == 0);
  const auto j = nlohmann::json::parse(read_file(json));
  REQUIRE(j["configurations"].size() == 2);
  const std::vector<std::string> all = lines(ended.out);
  for (size_t i = 0, found = 0; i < all.size(); ++i)
    if (all[i].starts_with("training step on")) {
      CHECK(contains(
          all[i], "cpu, 1 threads, " + j["configurations"][found]["precision"].get<std::string>()));
      if (j["configurations"][found]["precision"] == "fp32" || cpu::has_bf16_products())
        check_configuration(ended.out, i, j["configurations"][found]);
      ++found;
    }
  CHECK(line_words(ended.out, "input")[1] == fixed(j["epoch"]["ratio"]));
  CHECK(j["epoch"]["batches"] == 3);
  const auto quantizer = j["quantizers"][1];
  const auto quantizer_row = line_words(ended.out, "  rotation ");
  CHECK(quantizer["quantizer"] == "rotation");
  CHECK(quantizer_row[3] == fixed(quantizer["alone_ms"]));
  CHECK(quantizer_row[6] == fixed(quantizer["step_to_plain"]));
  CHECK(quantizer_row[7] == fixed(quantizer["step_to_plain_by_parts"]));
  CHECK(quantizer_row[8] == mib(quantizer["alone_peak_bytes"]));
  const auto size = j["sweep"]["sizes"][0];
  const auto row = line_words(ended.out, "  fp32");
  CHECK(row[3] == fixed(size["step_ms"]));
  CHECK(row.back() == mib(size["peak_bytes"]));
  CHECK(j["sweep"]["sizes"].size() == (cpu::has_bf16_products() ? 12 : 6));
  CHECK(line_words(ended.out, "  K")[2] == fixed(j["sweep"]["growth"][4]["step_ms"]));
  CHECK(j["sweep"]["growth"][4]["axis"] == "K");
}

TEST_CASE("bench: where convolutions cannot be compared, the rest is measured" *
          doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const std::string json = folder / "bench.json";
  const Ended ended =
      run("bench --batch 2 --latent 8 --codes 8 --repeats 1 --threads 1 --precision fp32 "
          "--convolutions --epoch 1 --json " +
              json,
          {"VERSOR_ONEDNN=0"});
  CHECK(ended.code == 0);
  CHECK(contains(ended.out, "convolutions: not measured, this run has no oneDNN"));
  const auto j = nlohmann::json::parse(read_file(json));
  CHECK(j["configurations"].size() == 1);
  CHECK(j["epoch"]["batches"] == 1);
}

TEST_CASE("bench: --serve answers a line with a time" * doctest::skip(without_programs())) {
  const TemporaryFolder folder;
  const auto served = [&](const std::string& requests) {
    write_file(folder / "talk.sh", "printf '" + requests + "' | '" + program_folder() +
                                       "/bench' --serve --batch 2 --latent 8 --codes 8 --threads 1 "
                                       "--precision fp32\n");
    return run("sh " + (folder / "talk.sh"));
  };
  const Ended ended = served("step\\nstep\\n");
  CHECK(ended.code == 0);
  const auto answers = lines(ended.out);
  REQUIRE(answers.size() == 3);
  CHECK(nlohmann::json::parse(answers[0])["precision"] == "fp32");
  CHECK(nlohmann::json::parse(answers[0])["peak_bytes"] > 0);
  CHECK(std::stod(answers[1]) > 0);
  CHECK(served("floor\\n").code == (cpu::use_onednn() ? 0 : 1));
  const auto of_prior = lines(served("prior\\nsample\\n").out);
  REQUIRE(of_prior.size() == 3);
  CHECK(std::stod(of_prior[1]) > 0);
  CHECK(std::stod(of_prior[2]) > 0);
  const Ended wrong = served("stop\\n");
  CHECK(wrong.code == 1);
  CHECK(contains(error_line(wrong), "'stop'"));
}

TEST_CASE("statistics: the median of times") {
  CHECK(median({3}) == 3);
  CHECK(median({5, 1, 9}) == 5);
}

}  // namespace versor::testing
