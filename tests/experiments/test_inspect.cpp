// bin/inspect: what it counts, the tape of a training step, and that it changes nothing.
#include <algorithm>

#include "experiments/study/inspection.h"
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

constexpr int64_t kD = 16, kHidden = 8, kCodes = 32;

VqVae small_model() {
  VqVaeOptions options;
  options.quantizer.codebook = {.codes = kCodes, .latent = kD};
  options.quantizer.estimator = Estimator::ste;
  return VqVae(options, {}, Rng(1));
}

// Multiplications and additions of a convolution with these numbers of outputs and inputs.
double conv(int64_t places, int64_t out, int64_t in, int64_t kernel) {
  return 2.0 * static_cast<double>(places * out * in * kernel * kernel);
}

}  // namespace

TEST_CASE("inspect: operations are those of the layers' formulas") {
  VqVae model = small_model();
  // 16 x 16 pixels: 64 places after the first layer, 16 latents.
  const double encoder =
      conv(64, kHidden, 3, 4) + conv(16, kD, kHidden, 4) + 4 * conv(16, kD, kD, 3);
  const double decoder =
      conv(16, kD, kHidden, 4) + conv(64, kHidden, 3, 4) + 4 * conv(16, kD, kD, 3);
  const WorkPerImage work = work_per_image(model, {16, 16, 3});
  CHECK(work.encoder == encoder);
  const double tanh_of_image = 16 * 16 * 3;
  CHECK(work.decoder == decoder + tanh_of_image);
  CHECK(work.quantizer >= 2.0 * 16 * kCodes * kD);
  CHECK(work.quantizer < 3.0 * 16 * kCodes * kD);
  // Backward, a convolution costs twice as much, but the first needs no gradient of its input.
  const double least = 3 * (encoder + decoder) - conv(64, kHidden, 3, 4);
  CHECK(work.training > least);
  CHECK(work.training < 1.1 * least);
}

TEST_CASE("inspect: memory, and the tape") {
  VqVae model = small_model();
  const BytesOfStep bytes = bytes_of_step(model, {16, 16, 3}, 0.25f);
  CHECK(bytes.parameters == 4 * static_cast<size_t>(model.parameter_count()));
  CHECK(bytes.moments == 2 * bytes.parameters);
  // Each layer keeps what it made: 64 places of 8 channels twice, 16 of 16 channels nine times and
  // the latents, and the tanh's image.
  const size_t least = 4 * (2 * 64 * kHidden + 9 * 16 * kD + 16 * 16 * 3);
  CHECK(bytes.saved_per_image >= least);
  CHECK(bytes.saved_per_image < least + 4 * 4 * 16 * kD);
  CHECK(bytes.saved_for(3) == bytes.saved + 3 * bytes.saved_per_image);
  const auto tape = training_tape(model, Tensor::from(std::vector<float>(768), {1, 16, 16, 3}), 1);
  const std::string text = tape_text(tape, model), dot = tape_dot(tape, model);
  CHECK(static_cast<size_t>(std::ranges::count(text, '\n')) == tape.size() + 1);
  CHECK(contains(text, "#1   conv2d "));
  CHECK(contains(text, "of [1,16,16,3], encoder.0.weight [8,4,4,3], encoder.0.bias [8]\n"));
  CHECK(contains(dot, "\"encoder.0.weight\" -> n1;\n"));
  CHECK(contains(dot, "n1 -> n2;\n"));
  CHECK(dot.starts_with("digraph tape {\n"));
  CHECK(dot.ends_with("}\n"));
  CHECK(model.training());
  for (const Variable& p : model.parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE("inspect: bars of use fit 80 columns") {
  std::vector<int64_t> counts(100, 0);
  for (size_t k = 0; k < 60; ++k) counts[k] = static_cast<int64_t>(k);
  const auto bars = lines(usage_bars(counts));
  REQUIRE(bars.size() == 16);
  for (const std::string& line : bars) CHECK(line.size() <= 80);
  CHECK(bars[0].starts_with("     1-6       19.15 % " + std::string(50, '#')));
  CHECK(bars[15] == "    94-100      0.00 %");
  CHECK(lines(usage_bars({0, 0})).size() == 2);
}

TEST_CASE("programs: inspect shows a run and other files, and changes nothing" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  REQUIRE(run(tiny(folder, "--epochs 1 --quiet")).code == 0);
  const auto before = tree(folder);
  const Ended shown = run("inspect " + folder);
  CHECK(shown.code == 0);
  CHECK(shown.err.empty());
  for (const char* part :
       {"encoder.4.conv1.weight  [8,8,3,3]  F32   576", "codebook_start         kmeans",
        "estimator rotation\n  symbols per latent L 1, codes K 8, latents of 4 x 4 pixels\n",
        "192.0 bits per image", "forward and backward", "Adam's moments",
        "use of the 8 codes, most used first: training, epoch 1"})
    CHECK(contains(shown.out, part));
  for (const std::string& line : lines(shown.out))
    if (!contains(line, folder)) CHECK(line.size() <= 80);
  CHECK(contains(run("inspect --data synthetic --usage 8 " + folder).out, "8 test images: perpl"));
  CHECK(contains(run("inspect --tape " + folder).out, "functions keep"));
  CHECK(run("inspect " + folder + " --tape " + (temporary / "t.dot")).out.empty());
  CHECK(read_file(temporary / "t.dot").starts_with("digraph"));
  const Ended snapshot = run("inspect " + folder + "/snapshots/epoch-0001.safetensors");
  CHECK(contains(snapshot.out, "codebook.weight  [8,8]  F32   64"));
  CHECK((tree(folder) == before));
  CHECK(contains(error_line(run("inspect --tape " + folder + "/trainer.safetensors")),
                 "holds no model of ours"));
  CHECK(contains(error_line(run("inspect " + folder + " t.dot")), "--tape"));
  CHECK(contains(error_line(run("inspect " + (temporary / "t.dot"))), "t.dot"));
}

}  // namespace versor::testing
