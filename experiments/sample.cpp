// Samples images: of a prior (bin/prior) or of a diffusion model (bin/diffusion).
//   bin/sample results/runs/NAME/prior-seed1 --count 64 --output samples.png
//   bin/sample results/runs/NAME/diffusion-seed1 --classes 3,5 --guidance 1 --output folder
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/image_grid.h"
#include "experiments/cli/program.h"
#include "experiments/generate/image_sampler.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"

using namespace versor;

namespace {

namespace fs = std::filesystem;

struct Asked {
  std::string from, model, output;
  int64_t count = 64;
  std::vector<int64_t> classes;
  bool with_classes = true;
  std::string sampler = name_of(Sampler::ddim);
  ImageSampling sampling;
};

// Of each sample: those asked for in turn, by default all; or none, which is number `known`.
std::vector<int32_t> labels_for(const Asked& asked, int64_t known) {
  for (const int64_t c : asked.classes)
    if (c >= known)
      throw UsageError("--classes", fmt::format("{} has {} classes", asked.from, known));
  std::vector<int32_t> labels;
  const int64_t among = asked.classes.empty() ? known : std::ssize(asked.classes);
  for (int64_t i = 0; i < asked.count; ++i) {
    const int64_t n = among == 0 ? 0 : i % among;
    labels.push_back(static_cast<int32_t>(!asked.with_classes     ? known
                                          : asked.classes.empty() ? n
                                                                  : asked.classes[n]));
  }
  return labels;
}

// Throws UsageError for an option that the network has no use for.
void check_options(const Options& app, const Asked& asked, const ImageSampler& sampler) {
  const auto refuse = [&](const std::vector<const char*>& options, const std::string& why) {
    for (const char* option : options)
      if (app.given(option)) throw UsageError(option, why);
  };
  if (sampler.is_prior())
    refuse({"--sampler", "--steps", "--eta", "--guidance"}, "goes with a diffusion model");
  else
    refuse({"--temperature", "--top-k", "--top-p"}, "goes with a prior");
  if (asked.sampling.latents.sampler != Sampler::ddim) refuse({"--eta"}, "goes with ddim");
  if (sampler.classes() == 0 || !asked.with_classes)
    refuse({"--classes", "--guidance"}, "goes with classes");
}

int run(const Options& app, const ModelUse& use, Asked asked) {
  network_config(asked.from);  // if it is something else, that is the error
  if (asked.model.empty())
    asked.model = fs::absolute(weights_in(asked.from)).parent_path().parent_path().string();
  const LoadedModel first_stage = use.load(asked.model);
  const ImageSampler sampler(asked.from, first_stage);
  check_options(app, asked, sampler);
  const std::vector<int32_t> labels = labels_for(asked, sampler.classes());
  if (asked.output.ends_with(".npy")) {
    if (!sampler.is_prior()) throw UsageError("--output", "only a prior has symbols");
    write_symbols(*first_stage.model, sampler.symbols(labels, asked.sampling.symbols),
                  asked.output);
  } else {
    const Tensor images = sampler.images(labels, asked.sampling);
    if (asked.output.ends_with(".png"))
      write_square_grid(asked.output, images);
    else
      write_png_files(asked.output, images);
  }
  fmt::print("{}  {} samples\n", asked.output, asked.count);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Samples images of a trained prior or diffusion model.");
  Asked asked;
  app.add_option("from", asked.from, "the folder of the prior or the diffusion model")->required();
  app.add_option("--model", asked.model,
                 "the model that it was trained on; default the folder above");
  app.add_option(
         "--output", asked.output,
         "a .png of all samples, a folder for a PNG file of each, or a prior's symbols as .npy")
      ->required();
  app.add_option("--count", asked.count, "samples")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--classes", asked.classes, "these classes in turn, as 3,5; default all")
      ->delimiter(',')
      ->check(in_range(0, 1 << 16));
  app.add_flag("!--no-classes", asked.with_classes, "samples of no class in particular");
  app.add_option("--seed", asked.sampling.symbols.seed)->check(kSeedNumber)->capture_default_str();
  app.group("Of a prior");
  app.add_option("--temperature", asked.sampling.symbols.temperature,
                 "divides the logits; 0: always the most probable symbol")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--top-k", asked.sampling.symbols.top_k,
                 "only so many of the most probable symbols; 0: all")
      ->check(in_range(0, 1 << 16))
      ->capture_default_str();
  app.add_option("--top-p", asked.sampling.symbols.top_p,
                 "only the most probable symbols that together have this probability")
      ->check(kFraction)
      ->capture_default_str();
  app.group("Of a diffusion model");
  app.add_option("--sampler", asked.sampler)
      ->check(one_of(names_of<Sampler>()))
      ->capture_default_str();
  app.add_option("--steps", asked.sampling.latents.steps,
                 "0: all of ancestral, 50 of ddim, 25 of ode, each with two evaluations")
      ->check(in_range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--eta", asked.sampling.latents.eta,
                 "the noise of ddim: 0 none, 1 that of ancestral")
      ->check(kFraction)
      ->capture_default_str();
  app.add_option("--guidance", asked.sampling.latents.guidance,
                 "towards the class: (1 + w) with it - w without it")
      ->check(kNotNegative)
      ->capture_default_str();
  app.group("Options");
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    asked.sampling.latents.sampler = parse_name<Sampler>(asked.sampler);
    asked.sampling.latents.seed = asked.sampling.symbols.seed;
    return run(app, use, asked);
  });
}
