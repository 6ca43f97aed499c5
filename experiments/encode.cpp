// Encodes images with a trained model and writes their symbols as .npy, which numpy opens and
// bin/decode makes pictures of. Prints the bits that they cost and the error that they leave.
//   bin/encode results/runs/NAME --images test --output symbols.npy
//   bin/encode results/runs/NAME --input pictures --size 64 --output symbols.npy
#include <fmt/format.h>

#include <cmath>

#include "data/image_grid.h"
#include "experiments/cli/program.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "vq/names.h"

using namespace versor;

namespace {

struct Asked {
  std::string model, images = name_of(RunImages::test), input, output, reconstructions;
  int64_t size = 0;  // of pictures from `input`
};

std::string quality(double mse) {
  return fmt::format("MSE {:.6f}  PSNR {:.2f} dB", mse, 10 * std::log10(4 / mse));
}

void report(const LoadedModel& loaded, const Dataset& set, const EncodedImages& encoded,
            const std::string& output) {
  const auto images = static_cast<double>(set.size());
  const auto pixels = static_cast<double>(set.images.dim(1) * set.images.dim(2));
  const auto bits = [&](const char* title, double all) {
    fmt::print("{:<10}{:>9.1f} bits per image  {:.4f} per pixel\n", title, all / images,
               all / images / pixels);
  };
  const std::vector<std::string> files = symbol_files(*loaded.model, output);
  for (size_t level = 0; level < files.size(); ++level)
    fmt::print("{}  int32 {}\n", files[level], str(encoded.symbols[level].shape()));
  fmt::print("{} images {} x {} x {} of {}\n", set.size(), set.images.dim(1), set.images.dim(2),
             set.images.dim(3), set.title());
  bits("log2 K", encoded.use.nominal_bits());
  bits("entropy", encoded.use.entropy_bits());
  fmt::print("decoded   {}\n", quality(encoded.mse));
  if (!decoder_sees_codes(*loaded.model))
    fmt::print(
        "evaluated {}: in evaluation the decoder of `{}` also sees the latents' lengths, "
        "which symbols do not carry\n",
        quality(encoded.evaluation_mse), name_of(*loaded.options.estimator));
}

int encode(const ModelUse& use, const Asked& asked) {
  const LoadedModel loaded = use.load(asked.model);
  const Dataset set = asked.input.empty() ? images_of(loaded, parse_name<RunImages>(asked.images))
                                          : pictures_for(loaded, asked.input, asked.size);
  TakeImages take;
  if (!asked.reconstructions.empty())
    take = [&](const Tensor& images, int64_t first) {
      write_png_files(asked.reconstructions, images, first);
    };
  const EncodedImages encoded =
      encode_images(*loaded.model, set, batch_for(loaded, set.images.dim(1), set.images.dim(2)),
                    loaded.options.device, take);
  write_symbols(*loaded.model, encoded.symbols, asked.output);
  report(loaded, set, encoded, asked.output);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Encodes images as symbols in a .npy file, which bin/decode makes pictures of.");
  Asked asked;
  app.add_option("model", asked.model, "a run's folder, or a model.safetensors")->required();
  app.add_option("--images", asked.images, "of the run: train, validation or test")
      ->check(one_of(names_of<RunImages>()))
      ->capture_default_str();
  app.add_option("--input", asked.input,
                 "instead: a PNG or JPEG file, or a folder of them, in the order of their names");
  app.add_option("--size", asked.size, "crop and resize these to squares of so many pixels")
      ->check(in_range(1, 1 << 16));
  app.add_option("--output", asked.output,
                 "the .npy file; of two levels there are two, NAME.top.npy and NAME.bottom.npy")
      ->required();
  app.add_option("--reconstructions", asked.reconstructions,
                 "a folder for evaluation's reconstructions, to compare with what is decoded");
  const ModelUse use(app);
  return run_program(app, argc, argv, [&] {
    if (asked.input.empty() && asked.size > 0) throw UsageError("--size", "goes with --input");
    if (!asked.input.empty() && app.given("--images"))
      throw UsageError("--images", "does not go with --input");
    return encode(use, asked);
  });
}
