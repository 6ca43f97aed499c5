// Decodes symbols (bin/encode) into pictures: a folder of PNG files, or one picture of all.
//   bin/decode results/runs/NAME symbols.npy --output pictures
//   bin/decode results/runs/NAME images.vqc --prior results/runs/NAME/prior-seed1 --output pictures
#include <fmt/format.h>

#include "data/image_grid.h"
#include "experiments/cli/program.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/generate/packed_symbols.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/file.h"
#include "vq/names.h"

using namespace versor;

namespace {

struct Asked {
  std::string model, symbols, output, prior;
};

// The symbols of all levels in the file: packed, by its first bytes or its name, or .npy.
std::vector<Tensor> symbols_in(const LoadedModel& loaded, const Asked& asked) {
  const std::string& path = asked.symbols;
  if (!path.ends_with(".vqc") && !(is_there(path) && is_packed(path))) {
    if (!asked.prior.empty()) throw UsageError("--prior", "goes with a packed file");
    return read_symbols(*loaded.model, path);
  }
  const std::string from = asked.prior.empty() ? folder_beside(loaded, "prior", 1) : asked.prior;
  const LoadedPrior prior = load_prior(from, {}, asked.model);
  const CodingNetwork network(*prior.prior, from);
  return network.sequence().unflatten(read_packed(path, network, prior.first_stage));
}

int decode(const LoadedModel& loaded, const Asked& asked) {
  const std::string& output = asked.output;
  const std::vector<Tensor> symbols = symbols_in(loaded, asked);
  if (output.ends_with(".npy")) {
    write_symbols(*loaded.model, symbols, output);
    fmt::print("{}  symbols of {} images\n", output, symbols[0].dim(0));
    return 0;
  }
  const Shape shape = images_of_symbols(*loaded.model, symbols);
  const bool one_picture = output.ends_with(".png");
  Tensor all;
  if (one_picture) all = Tensor(shape);
  const TakeImages take = one_picture ? into(all) : [&](const Tensor& images, int64_t first) {
    write_png_files(output, images, first);
  };
  decode_images(*loaded.model, symbols, batch_for(loaded, shape[1], shape[2]),
                loaded.options.device, take);
  if (one_picture) write_square_grid(output, all);
  fmt::print("{}  {} images\n", output, shape[0]);
  if (!decoder_sees_codes(*loaded.model))
    fmt::print(
        "not what evaluation makes: there the decoder of `{}` also sees the latents' lengths\n",
        name_of(*loaded.options.estimator));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Decodes symbols from bin/encode into PNG files.");
  Asked asked;
  app.add_option("model", asked.model, "a run's folder, or a model.safetensors")->required();
  app.add_option("symbols", asked.symbols,
                 "the .npy or .vqc file, by the name that bin/encode was given")
      ->required();
  app.add_option("--output", asked.output,
                 "a folder for a PNG file of each image, one .png of all, or the symbols as .npy")
      ->required();
  app.add_option("--prior", asked.prior,
                 "of a .vqc file: the prior that it was made with; default prior-seed1 in the "
                 "run's folder");
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] { return decode(use.load(asked.model), asked); });
}
