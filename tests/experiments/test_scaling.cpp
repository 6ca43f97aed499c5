// The model of a step's time on many ranks, and bin/scaling.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/bench/scaling_benchmark.h"
#include "experiments/bench/scaling_model.h"
#include "tests/experiments/programs.h"

using namespace versor;

namespace {

constexpr Link kLink{.latency = 1e-3, .bandwidth = 125e6};

// 100 ms and 1 ms per image, 10 MB of gradients in buckets of 4, 1 MB of statistics.
StepCost cost() {
  StepCost cost;
  cost.compute = {.fixed = 0.1, .per_image = 1e-3};
  cost.backward_share = 0.5;
  cost.gradient_bytes = 10e6;
  cost.bucket_bytes = 4e6;
  cost.statistics_bytes = 1e6;
  cost.waits = 3;
  return cost;
}

}  // namespace

TEST_CASE("a sum over n ranks: rounds of latency, and 2 (n-1)/n of the bytes") {
  CHECK(all_reduce_seconds(1e6, 1, kLink, SumBy::ring) == 0);
  CHECK(all_reduce_seconds(125e6, 2, kLink, SumBy::blocks) == doctest::Approx(0.002 + 1));
  CHECK(all_reduce_seconds(125e6, 4, kLink, SumBy::blocks) == doctest::Approx(0.002 + 1.5));
  CHECK(all_reduce_seconds(125e6, 4, kLink, SumBy::ring) == doctest::Approx(0.006 + 1.5));
  CHECK(all_reduce_seconds(0, 1024, kLink, SumBy::tree) == doctest::Approx(0.020));
  CHECK(all_reduce_seconds(0, 1025, kLink, SumBy::tree) == doctest::Approx(0.022));
}

TEST_CASE("a step: the gradients hide behind backward, except the last bucket; statistics do not") {
  const StepTime alone = predict(cost(), 100, 1, kLink, SumBy::blocks, 1);
  CHECK(alone.total() == doctest::Approx(0.2));
  const StepTime two = predict(cost(), 50, 2, kLink, SumBy::blocks, 1);
  CHECK(two.compute == doctest::Approx(0.15));
  CHECK(two.gradients == doctest::Approx(0.002 + 0.08));
  CHECK(two.hidden == doctest::Approx(0.048));  // all but a bucket: backward takes 75 ms
  CHECK(two.statistics == doctest::Approx(0.002 + 0.008));
  CHECK(two.waits == doctest::Approx(0.006));
  CHECK(two.total() == doctest::Approx(0.15 + 0.082 - 0.048 + 0.010 + 0.006));
  CHECK(predict(cost(), 50, 2, kLink, SumBy::blocks, 0).hidden == 0);
  StepCost quick = cost();  // nothing to hide behind
  quick.compute = {.fixed = 0.002, .per_image = 0};
  CHECK(predict(quick, 50, 2, kLink, SumBy::blocks, 1).hidden == doctest::Approx(0.001));
}

TEST_CASE("fits give back what made the measurements, and nothing below 0") {
  std::vector<Timed> steps, sums;
  for (const double images : {1.0, 16.0, 128.0}) steps.push_back({images, 0.02 + 0.003 * images});
  CHECK(fit_compute(steps).fixed == doctest::Approx(0.02));
  CHECK(fit_compute(steps).per_image == doctest::Approx(0.003));
  for (double bytes = 4; bytes < 1e8; bytes *= 4)
    sums.push_back({bytes, all_reduce_seconds(bytes, 3, kLink, SumBy::blocks)});
  const Link link = fit_link(sums, 3, SumBy::blocks);
  CHECK(link.latency == doctest::Approx(kLink.latency));
  CHECK(link.bandwidth == doctest::Approx(kLink.bandwidth));
  const ComputeCost steep = fit_compute(std::vector<Timed>{{1, 0.001}, {2, 0.004}});
  CHECK(steep.fixed == 0);
  CHECK(steep.per_image > 0);
  const ComputeCost falling = fit_compute(std::vector<Timed>{{1, 0.004}, {2, 0.001}});
  CHECK(falling.per_image == 0);
  CHECK(fit_compute(std::vector<Timed>{{128, 0.128}}).per_image == doctest::Approx(0.001));
  CHECK_THROWS_AS(fit_compute({}), Error);
  CHECK_THROWS_AS(fit_link(sums, 1, SumBy::blocks), Error);
}

TEST_CASE("the noise scale from the norms of two batch sizes") {
  // E |g_B|^2 = |G|^2 + tr / B
  const double norm2 = 0.25, trace = 50;
  const NoiseScale noise = noise_scale(16, norm2 + trace / 16, 128, norm2 + trace / 128);
  CHECK(noise.gradient_norm2 == doctest::Approx(norm2));
  CHECK(noise.covariance_trace == doctest::Approx(trace));
  CHECK(noise.images() == doctest::Approx(200));
  CHECK(relative_steps(200, 200) == doctest::Approx(2));
  CHECK_THROWS_AS(noise_scale(16, 1, 16, 1), Error);
}

TEST_CASE("a codebook of a million codes: all of it on each rank, or a part") {
  CHECK(replicated_codebook_bytes(1 << 20, 256, 8) ==
        doctest::Approx(2 * 7.0 / 8 * 4 * (1 << 20) * 257));
  CHECK(sharded_codebook_bytes(65536, 256, 8) ==
        doctest::Approx(7.0 / 8 * (65536 * 1024.0 + 65536 * 8.0 + 65536 * 1024.0 / 8)));
}

TEST_CASE("bin/scaling: what it measured is read again; a damaged file is an error that names it" *
          doctest::skip(testing::without_programs())) {
  const testing::TemporaryFolder folder;
  const std::string file = folder / "one.json", bad = folder / "bad.json";
  REQUIRE(
      testing::run("scaling --latent 8 --codes 16 --batch-size 4 --threads 1 --repeats 1 --name "
                   "tiny --json " +
                   file)
          .code == 0);
  const ScalingMeasurement m = read_scaling(file);
  CHECK(m.ranks == 1);
  CHECK(m.what.batch == 4);
  CHECK(m.steps.size() == 3);
  CHECK(m.sums.empty());
  CHECK(m.step_seconds > 0);
  const auto shown = testing::run("scaling --noise 500 --read " + file);
  CHECK(shown.code == 0);
  CHECK(shown.out.find("tiny") != std::string::npos);
  CHECK(shown.out.find("A MODEL, NOT A MEASUREMENT") != std::string::npos);
  const std::string whole = read_file(file);
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[1]"), whole.substr(0, whole.size() / 2)}) {
    write_file(bad, text);
    const auto refused = testing::run("scaling --read " + bad);
    CHECK(refused.code == 1);
    CHECK(testing::lines(refused.err).size() == 1);
    CHECK(refused.err.find("bad.json") != std::string::npos);
  }
}
