// Evaluates the model of a finished run on the images that the run was evaluated on: the error and
// the use of codes with one pass through the encoder and, with --refine, with searched codes.
// Writes evaluation.json into the run's folder, and changes nothing else there.
//   bin/evaluate results/runs/NAME --refine 60
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/cli/program.h"
#include "experiments/cli/version.h"
#include "experiments/run/option_table.h"
#include "experiments/run/run_config.h"
#include "experiments/run/run_folder.h"
#include "experiments/study/evaluation.h"
#include "nn/safetensors.h"
#include "tensor/file.h"

using namespace versor;

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kBatch = 500;  // of 32 x 32 pixels

// What the command line may decide otherwise than the run: where and how to compute.
constexpr const char* kOwn[] = {"--device",     "--precision", "--threads",
                                "--max-memory", "--data",      "--data-dir"};

void print(const char* title, const CodesQuality& q) {
  fmt::print("{:<9} MSE {:.6f}  PSNR {:.2f} dB  SSIM {:.4f}  usage {:.3f}  perplexity {:.1f}\n",
             title, q.mse, q.psnr, q.ssim, q.usage, q.perplexity);
}

// The run's options, but those of kOwn that were given from `asked`.
RunOptions options_for(const Options& app, const RunOptions& asked, const Json& config,
                       const std::string& path) {
  RunOptions options = options_of(config, path);
  options.data = asked.data;
  options.data_dir = asked.data_dir;
  options.max_memory = asked.max_memory;
  if (app.given("--device")) options.device = asked.device;
  if (app.given("--precision")) options.precision = asked.precision;
  if (app.given("--threads")) options.threads = asked.threads;
  resolve(options);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Evaluates a finished run: the error with one pass, and with searched codes.");
  std::string folder;
  RunOptions asked;
  RefineOptions refine;
  refine.steps = 0;
  app.add_option("run", folder, "the run's folder")->required();
  app.add_option("--refine", refine.steps, "steps of the search for better codes; 0: none")
      ->check(in_range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--refine-lr", refine.lr,
                 "of the search, as a multiple of the latents' root mean square")
      ->check(kNotNegative)
      ->capture_default_str();
  std::optional<double> commitment;
  app.add_option("--refine-commitment", commitment,
                 "weight that holds the latents near codes during the search; default the run's "
                 "--beta")
      ->check(kNotNegative);
  for (const char* option : kOwn) add_run_option(app, asked, option);
  return run_program(app, argc, argv, [&] {
    const std::string path = folder + "/config.json", weights = folder + "/model.safetensors";
    const Json config = config_in(path);
    check(is_finished(folder, config), "evaluate", folder, " holds no finished run");
    const RunOptions options = options_for(app, asked, config, path);
    const DatasetPair images = load_data(options);
    const std::string hash = identity_of(images).hash;
    check(config.value("data_fingerprint", "") == hash, "evaluate", path,
          " is of other images than those that were read (--data, --data-dir)");
    refine.commitment = commitment.value_or(*options.beta);
    const auto model = make_model(options, images.test.images.dim(3), options.device, Rng(0));
    load_state_dict(*model, read_safetensors(weights), weights);
    const Evaluation found =
        evaluate(*model, images.test, images_at_once(images.test, kBatch), options.device,
                 refine.steps > 0 ? std::optional(refine) : std::nullopt);
    fmt::print("{} {} images\n", found.images, evaluated_images(options));
    print("one pass", found.one_pass);
    Json record = to_json(found);
    if (found.refined) {
      print("refined", *found.refined);
      fmt::print(
          "the search changed {:.1f} % of the symbols and the MSE by {:+.2f} %, in {:.1f} s\n",
          100 * found.changed, 100 * (found.refined->mse / found.one_pass.mse - 1),
          found.refine_seconds);
      record["refined"]["steps"] = refine.steps;
      record["refined"]["lr"] = refine.lr;
      record["refined"]["commitment"] = refine.commitment;
      record["refined"]["seconds"] = found.refine_seconds;
    }
    record["set"] = evaluated_images(options);
    record["precision"] = name_of(options.precision);
    record["hardware"] = backend_for(options.device).info().name;
    record["commit"] = commit();
    write_file(folder + "/evaluation.json", record.dump(2) + "\n");
    return 0;
  });
}
