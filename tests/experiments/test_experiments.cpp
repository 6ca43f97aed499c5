// The programs of the paper in miniature, and what a run leaves for them: snapshots, gradients, and
// its use as the beginning of a longer run.
#include <cmath>

#include "experiments/run/metrics.h"
#include "experiments/run/snapshot.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

std::string miniature(const std::string& program, const std::string& results,
                      const std::string& more = "") {
  return program +
         " --quick --data synthetic --latent 8 --train-images 64 --test-images 16 "
         "--batch-size 16 --epochs 2 --threads 1 --quiet --results " +
         results + " " + more;
}

// Every run of a results folder by name.
std::vector<std::string> runs_in(const std::string& results) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(results + "/runs"))
    names.push_back(entry.path().string());
  return names;
}

}  // namespace

TEST_CASE("runs: snapshots are kept for the paper's epochs") {
  for (int64_t epoch : {0, 1, 5, 6, 26, 50, 51, 76, 96, 100}) CHECK(is_kept(epoch, 100));
  for (int64_t epoch : {7, 10, 27, 49, 99}) CHECK_FALSE(is_kept(epoch, 100));
  CHECK(is_kept(8, 8));
}

TEST_CASE("runs: a longer run goes on from a shorter one and ends with its own bytes" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string options =
      "train --data synthetic --latent 8 --codes 8 --train-images 64 --test-images 16 "
      "--batch-size 16 --threads 1 --preset published --results ";
  const std::string alone = temporary / "alone", both = temporary / "both";
  REQUIRE(run(options + alone + " --epochs 3").code == 0);
  REQUIRE(run(options + both + " --epochs 2").code == 0);
  const Ended longer = run(options + both + " --epochs 3");
  REQUIRE(longer.code == 0);
  CHECK(contains(longer.err, "resuming after 2 epochs"));
  CHECK(runs_in(both).size() == 2);
  const std::string expected = runs_in(alone)[0];
  const std::string folder = both + "/runs/" + fs::path(expected).filename().string();
  for (const char* name : {"metrics.csv", "gradients.csv", "model.safetensors",
                           "reconstructions.png", "snapshots/epoch-0000.safetensors",
                           "snapshots/epoch-0003.safetensors", "snapshots/epoch-0001.png"}) {
    CAPTURE(name);
    CHECK((read_file(folder + "/" + name) == read_file(expected + "/" + name)));
  }
  CHECK(contains(read_file(folder + "/config.json"), "\"continues\""));
  CHECK_FALSE(contains(read_file(expected + "/config.json"), "\"continues\""));
}

TEST_CASE("runs: gradients.csv says what the estimator makes of the gradient" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  for (const std::string estimator :
       {"ste", "rotation", "rotation_unscaled", "rotation --rotation-origin 2"}) {
    CAPTURE(estimator);
    const std::string folder = temporary / str("run", estimator.size());
    REQUIRE(run(tiny(folder, "--epochs 1 --estimator " + estimator)).code == 0);
    const MetricsTable t = read_metrics(folder + "/gradients.csv");
    const double scale = t.last("gradient_scale"), angle = t.last("gradient_angle");
    if (estimator == "ste") CHECK(angle == doctest::Approx(0).epsilon(1e-7));
    if (estimator != "ste") CHECK(angle > 1e-3);
    // The rotation multiplies every row's gradient by its lambda; the others do not scale it.
    const bool scaled = estimator.starts_with("rotation") && estimator != "rotation_unscaled";
    const double expected = scaled ? t.last("mean_lambda") : 1.0;
    CHECK(scale == doctest::Approx(expected).epsilon(1e-4));
    CHECK(t.last("encoder.0.weight.norm") > 0);
    // norm^2 = n (mean^2 + std^2), n = 4 * 3 * 4 * 4 weights.
    const double mean = t.last("encoder.0.weight.mean"), deviation = t.last("encoder.0.weight.std");
    CHECK(t.last("encoder.0.weight.norm") ==
          doctest::Approx(std::sqrt(192 * (mean * mean + deviation * deviation))).epsilon(1e-5));
  }
}

TEST_CASE("experiments: tables share runs, a finished one is not made again whatever its threads" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  REQUIRE(run(miniature("table2", results, "--codes 4,8")).code == 0);
  CHECK(runs_in(results).size() == 4);
  // Table 3 has K = 8 too: two of its ten runs exist already.
  const auto missing = lines(run(miniature("table3", results, "--codes 8 --list")).out);
  CHECK(missing.size() == 8);
  CHECK(lines(run("table2 --quick --data synthetic --latent 8 --train-images 64 --test-images 16 "
                  "--batch-size 16 --epochs 2 --threads 2 --codes 4,8 --list --results " +
                  results)
                  .out)
            .empty());
}

TEST_CASE("experiments: the figures, the choices and the estimators in miniature" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  for (const char* program : {"table1", "figures", "table_attribution", "table_estimators"}) {
    CAPTURE(program);
    const Ended ended =
        run(miniature(program, results, "--codes 8"), {}, "", std::chrono::seconds(300));
    CAPTURE(ended.err);
    CHECK(ended.code == 0);
    CHECK(contains(ended.out, std::string("written: ") + results + "/" + program));
  }
  // Ten rows of choices: the preset, eight choices, the other preset.
  const auto choices = lines(read_file(results + "/table_attribution.csv"));
  REQUIRE(choices.size() == 11);
  CHECK(choices[1].starts_with("versor,"));
  CHECK(choices[1].ends_with("+0.0 %"));
  CHECK(choices[10].starts_with("published,"));
  const auto estimators = lines(read_file(results + "/table_estimators.csv"));
  REQUIRE(estimators.size() == 17);
  CHECK(estimators[1].starts_with("ste,kmeans,replaced,"));
  for (const char* row : {"test-images", "ste-kmeans-replaced", "published-uniform-kept"})
    for (const char* image : {"00000.png", "00015.png"})
      CHECK(fs::exists(results + "/reconstructions/" + row + "/" + image));
  const std::string about_two =
      "--codes 8 --no-pictures --estimators rotation@2 --codebooks uniform-kept";
  REQUIRE(run(miniature("table_estimators", results + "/two", about_two)).code == 0);
  const auto turned = lines(read_file(results + "/two/table_estimators.csv"));
  REQUIRE(turned.size() == 2);
  CHECK(turned[1].starts_with("rotation@2,uniform,kept,"));
  for (const char* wrong :
       {"--estimators ste@2", "--estimators rotation@x", "--estimators x", "--codebooks kmeans"})
    CHECK(run(miniature("table_estimators", results, wrong)).code == 2);
  // With nothing left to train, the device's settings still apply to looking at the models.
  const Ended narrow = run(miniature("table_estimators", results, "--codes 8 --max-memory 1K"));
  CHECK(narrow.code == 1);
  CHECK(contains(narrow.err, "memory"));
  for (int figure = 1; figure <= 5; ++figure)
    for (const char* preset : {"published", "versor"})
      CHECK(
          fs::exists(results + "/figures/figure" + std::to_string(figure) + "-" + preset + ".png"));
  CHECK(fs::exists(results + "/plots/figures6-8-published.csv"));
  CHECK(lines(read_file(results + "/table1.csv")).size() == 12);
  REQUIRE(run("report --results " + results).code == 0);
  const std::string page = read_file(results + "/report.html");
  CHECK(contains(page, "Not run yet: make table3"));
  CHECK(contains(page, "Figure 5 (the paper's epoch 99), preset versor"));
  CHECK_FALSE(contains(page, "src=\"plots"));
}

// A weight that f32 cannot represent makes every loss infinite.
TEST_CASE("experiments: a run that fails is named, the others make the table, the exit code is 1" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const Ended ended = run(miniature("table3", results, "--codes 8 --beta 1e39,0.25"));
  CAPTURE(ended.err);
  CHECK(ended.code == 1);
  CHECK(contains(error_line(ended), "2 of 4 trainings failed"));
  CHECK(contains(ended.out, "beta1e+39"));
  CHECK(contains(ended.out, "loss is not finite in step 1"));
  const auto table = lines(read_file(results + "/table3.csv"));
  REQUIRE(table.size() == 5);
  CHECK(table[1].starts_with("1e+39,\"ours, published\",failed,failed"));
  CHECK(table[3].starts_with("0.25,\"ours, published\",0."));
  REQUIRE(run("report --results " + results).code == 0);
  CHECK(contains(read_file(results + "/report.html"), "failed, and not in any figure here"));
  // If all runs failed there is no table, and the first failure is reported.
  const Ended all = run(miniature("table3", results + "2", "--codes 8 --beta 1e39"));
  CHECK(all.code == 1);
  CHECK(contains(error_line(all), "all 2 trainings failed; the first: " + results + "2/runs/"));
  CHECK_FALSE(fs::exists(results + "2/table3.csv"));
}

TEST_CASE("experiments: images held back from training are not called test images" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const std::string held_back = "\"test\" here means images held back from the training images";
  for (const bool validation : {false, true}) {
    CAPTURE(validation);
    const std::string more = validation ? " --validation-images 16" : "";
    const Ended table =
        run(miniature("table3", results, "--codes 8 --beta 0.25 --preset versor" + more));
    REQUIRE(table.code == 0);
    CHECK(contains(table.out, held_back) == validation);
    const Ended training =
        run("train --data synthetic --latent 8 --codes 8 --train-images 64 --test-images 16 "
            "--batch-size 16 --epochs 1 --threads 1 --results " +
            results + more);
    REQUIRE(training.code == 0);
    CHECK(contains(training.out, " validation recon 0.") == validation);
    CHECK(contains(training.out, " test recon 0.") == !validation);
    CHECK(contains(training.err, " validation 0.") == validation);
    CHECK(contains(training.err, " test 0.") == !validation);
  }
}

TEST_CASE("experiments: --quick contradicts nothing that the command line says" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string table =
      "table3 --quick --data synthetic --threads 1 --quiet --list --results " +
      (temporary / "results") + " ";
  for (const char* options : {"--validation-images 64", "--train-images 16", "--quantizer fsq",
                              "--validation-images 64 --test-images 8", "--test-images 400"}) {
    CAPTURE(options);
    const Ended ended = run(table + options);
    CHECK(ended.code == 0);
    CHECK(ended.err.empty());
    CHECK(lines(ended.out).size() >= 5);  // for a grid both presets are the same
  }
  const Ended both = run(table + "--validation-images 64 --test-images 65");
  CHECK(both.code == 2);
  CHECK(contains(error_line(both), "--test-images: 65 is more than the --validation-images"));
  CHECK(run(table + "--levels 4,4").code == 2);  // bin/train would refuse the listed commands
}

TEST_CASE("experiments: every table takes every preset, and says what it has otherwise" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const auto made = [&](const std::string& program, const std::string& more) {
    const Ended ended = run(miniature(program, results, more), {}, "", std::chrono::seconds(300));
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    return ended.out;
  };
  const std::string recipe =
      "preset best: decay 0.9 instead of 0.99, warmup 500, lr_schedule cosine";
  const std::string table3 = made("table3", "--codes 8 --beta 0.25 --preset best,published");
  CHECK(contains(table3, recipe + ", codebook_dim 16, mirror 1"));
  CHECK(contains(table3, "ours, best"));
  CHECK(contains(table3, "ours, published"));
  CHECK_FALSE(contains(made("table3", "--codes 8 --beta 0.25 --preset versor"), "preset best"));
  CHECK(contains(made("table2", "--codes 8 --preset best"), recipe));
  // The rows of choices are the options in which the two presets differ.
  CHECK(contains(made("table_attribution", "--codes 8 --preset versor,best"), recipe));
  const auto choices = lines(read_file(results + "/table_attribution-best.csv"));
  REQUIRE(choices.size() == 15);
  CHECK(choices[1].starts_with("best,"));
  CHECK(choices[2].starts_with("--estimator published instead of ste,"));
  CHECK(choices.back().starts_with("published,"));
  CHECK(lines(read_file(results + "/table_attribution-versor.csv")).size() == 11);
  made("table_estimators", "--codes 8 --preset best --no-pictures");
  CHECK(lines(read_file(results + "/table_estimators.csv")).size() == 17);
  CHECK(contains(made("table_quantizers", "--rates 320 --quantizers ste --preset best"), recipe));
  CHECK(run(miniature("table_quantizers", results, "--preset best,versor")).code == 2);
  CHECK(contains(made("figures", "--codes 8 --preset best"), recipe));
}

TEST_CASE("experiments: the listed commands make the quantizers' runs, and the table is theirs" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string results = temporary / "results";
  const std::string table = miniature(
      "table_quantizers", results,
      "--rates 320,1280 "
      "--quantizers "
      "rotation,gumbel,diveq,projected,soft_em,simvq,fsq,bsq,residual_shared,grouped,vqvae2");
  const auto commands = lines(run(table + " --list").out);
  CHECK(commands.size() == 19);  // two rates, but for 5 bits in two, and grouped at 1,280
  for (const std::string& command : commands) {
    CAPTURE(command);
    REQUIRE(command.starts_with("bin/"));
    std::string words = command.substr(4);
    std::erase(words, '\'');
    CHECK(run(words).code == 0);
  }
  CHECK(run(table + " --list").out.empty());
  REQUIRE(run(table).code == 0);
  CHECK(runs_in(results).size() == 19);
  const auto at_320 = lines(read_file(results + "/table_quantizers-320.csv"));
  REQUIRE(at_320.size() == 10);
  for (const std::string& row : at_320)
    CHECK((row.starts_with("quantizer,") || contains(row, ",320.0,")));
  CHECK(lines(read_file(results + "/table_quantizers-1280.csv")).size() == 11);
  const std::string text = read_file(results + "/table_quantizers.md");
  CHECK(contains(text, "fsq (a fixed grid: no codebook, no losses, nothing to tune): at 320 bits"));
  CHECK(fs::exists(results + "/plots/table_quantizers-rate-distortion.csv"));
  CHECK(run(table + " --rates 77").code == 2);
  CHECK(run(miniature("table_quantizers", results, "--quantizers magic")).code == 2);
}

}  // namespace versor::testing
