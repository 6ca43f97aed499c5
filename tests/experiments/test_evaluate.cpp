// bin/evaluate: the error of a finished run with one pass and with searched codes.
#include <nlohmann/json.hpp>

#include "experiments/run/metrics.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

nlohmann::json evaluation_in(const std::string& folder) {
  return nlohmann::json::parse(read_file(folder + "/evaluation.json"));
}

// All files of a run but what bin/evaluate writes.
std::map<std::string, std::string> files_of(const std::string& folder) {
  auto all = tree(folder);
  all.erase(folder + "/evaluation.json");
  return all;
}

}  // namespace

TEST_CASE("evaluate: one pass is what the run measured, searched codes are no worse" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  for (const std::string choices :
       {"--preset best --warmup 5", "--estimator ste --validation-images 32", "--preset published",
        "--quantizer fsq --levels 4,2", "--mirror 1 --shift 2 --layers 2 --estimator ste"}) {
    CAPTURE(choices);
    const std::string codes = contains(choices, "fsq") ? "" : " --codes 8";
    std::filesystem::remove_all(folder);
    REQUIRE(run("train --data synthetic --latent 8 --train-images 256 --test-images 32 --epochs 2 "
                "--batch-size 16 --threads 1 --quiet --lr 2e-3 --out " +
                folder + " " + choices + codes)
                .code == 0);
    const auto before = files_of(folder);
    const bool published = contains(choices, "published");
    const Ended ended =
        run("evaluate --data synthetic " + folder + (published ? "" : " --refine 20"));
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    CHECK(contains(ended.out,
                   contains(choices, "validation") ? "32 validation images" : "32 test images"));
    CHECK(contains(ended.out, "one pass  MSE "));
    CHECK(contains(ended.out, "refined   MSE ") == !published);
    CHECK((files_of(folder) == before));
    const auto found = evaluation_in(folder);
    const MetricsTable metrics = read_metrics(folder + "/metrics.csv");
    const auto& one_pass = found.at("one_pass");
    // The two batches of the test images are equally large, so means agree. The published choices
    // moved the codebook while they measured.
    const auto close = [&](double value) {
      return doctest::Approx(value).epsilon(published ? 1e-3 : 1e-5);
    };
    CHECK(one_pass.at("mse").get<double>() == close(metrics.last("test_recon_loss")));
    CHECK(one_pass.at("psnr").get<double>() == close(metrics.last("test_psnr")));
    CHECK(one_pass.at("usage").get<double>() == close(metrics.last("test_usage")));
    CHECK(one_pass.at("perplexity").get<double>() == close(metrics.last("test_data_perplexity")));
    CHECK(found.contains("refined") == !published);
    const Ended of_file = run("evaluate --data synthetic " + folder + "/model.safetensors");
    REQUIRE(of_file.code == 0);
    CHECK(lines(of_file.out)[1] == lines(ended.out)[1]);
    CHECK((evaluation_in(folder) == found));  // given a file, it only prints
    if (published) continue;
    const auto& refined = found.at("refined");
    CHECK(refined.at("mse") < one_pass.at("mse"));
    CHECK(refined.at("changed_symbols") > 0);
    CHECK(refined.at("steps") == 20);
    REQUIRE(run("evaluate --data synthetic --refine 20 " + folder).code == 0);
    CHECK(evaluation_in(folder).at("refined").at("mse") == refined.at("mse"));
  }
}

TEST_CASE("evaluate: what it cannot evaluate is named" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  CHECK(contains(error_line(run("evaluate " + folder)), folder + "/config.json"));
  REQUIRE(run(tiny(folder, "--epochs 1 --preset published")).code == 0);
  CHECK(contains(error_line(run("evaluate --data synthetic --refine 5 " + folder)),
                 "published sees the latents' lengths"));
  const std::string config = read_file(folder + "/config.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = config;
    const size_t at = changed.find(from);
    REQUIRE(at != std::string::npos);
    write_file(folder + "/config.json", changed.replace(at, from.size(), to));
    return error_line(run("evaluate --data synthetic " + folder));
  };
  CHECK(contains(with("\"epochs\": 1", "\"epochs\": 2"), "holds no finished run"));
  CHECK(contains(with("\"train_images\": 256", "\"train_images\": 128"), "of other images"));
  CHECK(contains(with("\"latent\": 8", "\"latent\": \"eight\""), "config.json is malformed"));
  CHECK(contains(with("\"latent\": 8", "\"latent\": 16"), "model.safetensors"));
  REQUIRE(run(tiny(temporary / "two", "--epochs 1 --model vqvae2 --estimator ste")).code == 0);
  CHECK(run("evaluate --data synthetic " + (temporary / "two")).code == 0);
  CHECK(contains(error_line(run("evaluate --data synthetic --refine 5 " + (temporary / "two"))),
                 "for one level only"));
}

}  // namespace versor::testing
