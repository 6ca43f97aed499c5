// Decodes symbols (bin/encode) into pictures: a folder of PNG files, or one picture of all.
//   bin/decode results/runs/NAME symbols.npy --output pictures
#include <fmt/format.h>

#include "data/image_grid.h"
#include "experiments/cli/program.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/ops.h"
#include "vq/names.h"

using namespace versor;

namespace {

int decode(const LoadedModel& loaded, const std::string& from, const std::string& output) {
  const std::vector<Tensor> symbols = read_symbols(*loaded.model, from);
  const Shape shape = images_of_symbols(*loaded.model, symbols);
  const bool one_picture = output.ends_with(".png");
  Tensor all;
  const auto take = [&](const Tensor& images, int64_t first) {
    if (!one_picture) return write_png_files(output, images, first);
    if (!all.defined()) all = Tensor(shape);
    Tensor here = all.rows(first, first + images.dim(0));
    ops::copy(here, images.to({}));
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
  std::string model, symbols, output;
  app.add_option("model", model, "a run's folder, or a model.safetensors")->required();
  app.add_option("symbols", symbols, "the .npy file, by the name that bin/encode was given")
      ->required();
  app.add_option("--output", output, "a folder for a PNG file of each image, or one .png of all")
      ->required();
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] { return decode(use.load(model), symbols, output); });
}
