// Encodes images with a trained model and writes their symbols as .npy, which numpy opens and
// bin/decode makes pictures of. Prints the bits that they cost and the error that they leave.
//   bin/encode results/runs/NAME --images test --output symbols.npy
//   bin/encode results/runs/NAME --input pictures --size 64 --output symbols.npy
// With a prior (bin/prior) the symbols become one packed file, in about the bits that the prior
// gives them:
//   bin/encode results/runs/NAME --compress results/runs/NAME/prior-seed1 --output images.vqc
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "data/image_grid.h"
#include "data/ssim.h"
#include "experiments/cli/program.h"
#include "experiments/generate/network_trainer.h"
#include "experiments/generate/packed_symbols.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/ops.h"
#include "vq/names.h"

using namespace versor;

namespace {

struct Asked {
  std::string model, images = name_of(RunImages::test), input, output, reconstructions, prior;
  int64_t size = 0;  // of pictures from `input`
};

// The sum of the SSIM of images, the first of which has a number in the set.
double sum_of_ssim(const Dataset& set, const Tensor& images, int64_t first) {
  const Tensor originals = set.images.rows(first, first + images.dim(0));
  const std::vector<double> each =
      ssim(images.to({}), ops::affine(originals, 2.f / 255.f, -1.f, DType::f32));
  return std::accumulate(each.begin(), each.end(), 0.0);
}

std::string quality(double mse) {
  return fmt::format("MSE {:.6f}  PSNR {:.2f} dB", mse, 10 * std::log10(4 / mse));
}

// Bits, as the columns of the report.
class Bits {
 public:
  Bits(const Dataset& set, double symbols)
      : images_(static_cast<double>(set.size())),
        pixels_(images_ * static_cast<double>(set.images.dim(1) * set.images.dim(2))),
        symbols_(symbols) {}
  void print(const char* title, double bits) const {
    fmt::print("{:<10}{:>9.1f} bits per image  {:.4f} per symbol  {:.4f} per pixel\n", title,
               bits / images_, bits / symbols_, bits / pixels_);
  }

 private:
  double images_, pixels_, symbols_;
};

void report(const LoadedModel& loaded, const Dataset& set, const EncodedImages& encoded,
            const Bits& bits, const std::string& ssim) {
  fmt::print("{} images {} x {} x {} of {}\n", set.size(), set.images.dim(1), set.images.dim(2),
             set.images.dim(3), set.title());
  bits.print("log2 K", encoded.use.nominal_bits());
  bits.print("entropy", encoded.use.entropy_bits());
  const bool same = decoder_sees_codes(*loaded.model);
  fmt::print("decoded   {}{}\n", quality(encoded.mse), same ? ssim : "");
  if (!same)
    fmt::print(
        "evaluated {}{}: in evaluation the decoder of `{}` also sees the latents' lengths, "
        "which symbols do not carry\n",
        quality(encoded.evaluation_mse), ssim, name_of(*loaded.options.estimator));
}

// Writes the packed file, and says how near it comes to the prior's own cross-entropy.
void pack(const LoadedPrior& loaded, const EncodedImages& encoded, const Bits& bits,
          const Asked& asked) {
  const Prior& prior = *loaded.prior;
  const Tensor sequences = prior.sequence().flatten(encoded.symbols);
  const PackedSize size =
      write_packed(asked.output, CodingNetwork(prior, asked.prior), loaded.first_stage, sequences);
  const std::vector<int32_t> unknown(sequences.dim(0), static_cast<int32_t>(prior.no_class()));
  const std::vector<double> of_levels = bits_per_symbol(prior, sequences, unknown);
  double own = 0;
  for (size_t level = 0; level < of_levels.size(); ++level)
    own += of_levels[level] *
           static_cast<double>(prior.sequence().levels()[level].length() * sequences.dim(0));
  const double packed = 8 * static_cast<double>(size.file);
  bits.print("prior", own);
  bits.print("packed", packed);
  fmt::print("{}  {} bytes with a header of {}{}\n", asked.output, size.file, size.file - size.code,
             own > 0
                 ? fmt::format(", {:+.3f} % of the prior's cross-entropy", 100 * (packed / own - 1))
                 : "");
}

int encode(const ModelUse& use, const Asked& asked) {
  const LoadedModel loaded = use.load(asked.model);
  const Dataset set = asked.input.empty() ? images_of(loaded, parse_name<RunImages>(asked.images))
                                          : pictures_for(loaded, asked.input, asked.size);
  std::optional<LoadedPrior> prior;
  if (!asked.prior.empty()) {
    const int64_t epochs = network_config(asked.prior).value("epochs", int64_t{0});
    check(weights_in(asked.prior) == asked.prior || trained_epochs(asked.prior) == epochs, "encode",
          asked.prior,
          " is not trained to its end: with the finished prior the file could not be "
          "decoded");
    prior = load_prior(asked.prior, loaded.options.device, asked.model);
    const int64_t height = set.images.dim(1), width = set.images.dim(2);
    check(
        symbol_sequence(*loaded.model, height, width).levels() == prior->prior->sequence().levels(),
        "encode", asked.prior, " is not a prior of images of ", height, " x ", width, " pixels");
  }
  double similar = 0;
  const bool windows = set.images.dim(1) >= 11 && set.images.dim(2) >= 11;
  const auto take = [&](const Tensor& images, int64_t first) {
    if (windows) similar += sum_of_ssim(set, images, first);
    if (!asked.reconstructions.empty()) write_png_files(asked.reconstructions, images, first);
  };
  const EncodedImages encoded =
      encode_images(*loaded.model, set, batch_for(loaded, set.images.dim(1), set.images.dim(2)),
                    loaded.options.device, take);
  double symbols = 0;
  for (const Tensor& level : encoded.symbols) symbols += static_cast<double>(level.numel());
  const Bits bits(set, symbols);
  if (!prior) {
    write_symbols(*loaded.model, encoded.symbols, asked.output);
    const std::vector<std::string> files = symbol_files(*loaded.model, asked.output);
    for (size_t level = 0; level < files.size(); ++level)
      fmt::print("{}  int32 {}\n", files[level], str(encoded.symbols[level].shape()));
  }
  report(loaded, set, encoded, bits,
         windows ? fmt::format("  SSIM {:.4f}", similar / static_cast<double>(set.size())) : "");
  if (prior) pack(*prior, encoded, bits, asked);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options app("Encodes images as symbols in a file, which bin/decode makes pictures of.");
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
  app.add_option("--compress", asked.prior,
                 "a prior's folder (bin/prior): the output is one packed file, NAME.vqc");
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
