// Evaluates the model of a finished run on the images that the run was evaluated on: the error and
// the use of codes with one pass through the encoder and, with --refine, with searched codes.
// Writes evaluation.json into the run's folder, and changes nothing else there; given a file, it
// only prints.
//   bin/evaluate results/runs/NAME --refine 60
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/cli/program.h"
#include "experiments/cli/version.h"
#include "experiments/run/model_use.h"
#include "experiments/run/run_folder.h"
#include "experiments/study/evaluation.h"
#include "tensor/file.h"

using namespace versor;

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kBatch = 500;  // of 32 x 32 pixels

void print(const char* title, const CodesQuality& q) {
  fmt::print("{:<9} MSE {:.6f}  PSNR {:.2f} dB  SSIM {:.4f}  usage {:.3f}  perplexity {:.1f}\n",
             title, q.mse, q.psnr, q.ssim, q.usage, q.perplexity);
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Evaluates a finished run: the error with one pass, and with searched codes.");
  std::string path;
  RefineOptions refine;
  refine.steps = 0;
  app.add_option("run", path, "the run's folder, or a model.safetensors")->required();
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
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    const bool is_file = weights_in(path) == path;
    if (!is_file)
      check(is_finished(path, config_in(path + "/config.json")), "evaluate", path,
            " holds no finished run");
    const LoadedModel loaded = use.load(path);
    const RunOptions& options = loaded.options;
    const DatasetPair images = images_of(loaded);
    refine.commitment = commitment.value_or(*options.beta);
    const Evaluation found =
        evaluate(*loaded.model, images.test, images_at_once(images.test, kBatch), options.device,
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
    if (!is_file) write_file(path + "/evaluation.json", record.dump(2) + "\n");
    return 0;
  });
}
