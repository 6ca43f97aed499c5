// Images as symbols and back: what is decoded is what evaluation reconstructs, bit for bit; the
// files of bin/encode and bin/decode, and what they refuse.
#include <cmath>

#include "data/image_grid.h"
#include "data/npy.h"
#include "experiments/run/quantizer_variants.h"
#include "experiments/study/coding.h"
#include "tensor/ops.h"
#include "tests/experiments/programs.h"
#include "tests/experiments/run_options.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

// Images of noise: every byte from the same stream.
Dataset noise(int64_t count, int64_t height, int64_t width, int64_t channels) {
  const Shape shape{count, height, width, channels};
  std::vector<uint8_t> bytes(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(Rng(9).block(i)[0] >> 24);
  Dataset set;
  set.images = Tensor::from(bytes, shape);
  set.labels.resize(static_cast<size_t>(count));
  return set;
}

// The reconstructions of evaluation and what the files decode to; both in batches of 4.
void check_round_trip(VqModel& model, const Dataset& set) {
  const TemporaryFolder folder;
  std::string evaluated, decoded;
  const EncodedImages encoded =
      encode_images(model, set, 4, {}, [&](const Tensor& images, int64_t first) {
        CHECK(first % 4 == 0);
        evaluated += bits_of(images);
      });
  write_symbols(model, encoded.symbols, folder / "symbols.npy");
  const std::vector<Tensor> symbols = read_symbols(model, folder / "symbols.npy");
  decode_images(model, symbols, 4, {}, [&](const Tensor& images, int64_t first) {
    CHECK(images.dim(0) == std::min<int64_t>(4, set.size() - first));
    decoded += bits_of(images);
  });
  CHECK((decoded == evaluated));
  CHECK(encoded.mse == encoded.evaluation_mse);
  const double latents = static_cast<double>(set.images.dim(1) * set.images.dim(2)) / 16;
  const double rows = model.levels().size() == 2 ? latents * 5 / 4 : latents;
  const Vocabulary v = model.levels()[0].quantizer->vocabulary();
  CHECK(encoded.use.nominal_bits() ==
        doctest::Approx(static_cast<double>(set.size() * v.symbols) * rows *
                        std::log2(static_cast<double>(v.codes))));
}

RunOptions small(int64_t codes) {
  RunOptions options;
  options.latent = 16;
  options.codes = codes;
  options.codebook_start = CodebookStart::uniform;
  return options;
}

}  // namespace

TEST_CASE("coding: decoded symbols are evaluation's reconstructions, with every quantizer") {
  const Dataset images = noise(6, 16, 16, 3);
  for (const QuantizerVariant& variant : quantizer_variants()) {
    CAPTURE(variant.label);
    RunOptions options = small(16);
    variant.change(options);
    if (variant.two_levels) options.model = ModelKind::vqvae2;
    apply_preset(options);
    check_round_trip(*make_model(options, 3, {}, Rng(3)), images);
  }
}

TEST_CASE("coding: any size, grey images, residual layers in groups, bf16, a deeper network") {
  RunOptions options = small(16);
  options.estimator = Estimator::ste;
  options.groups = options.layers = 2;
  options.precision = Precision::bf16;
  apply_preset(options);
  check_round_trip(*make_model(options, 1, {}, Rng(3)), noise(5, 8, 24, 1));
  VqVaeOptions deep;
  deep.quantizer.codebook = {.codes = 8, .latent = 8};
  deep.downsampling = 8;
  VqVae2 model(deep, {}, Rng(3));
  const auto encoded = encode_images(model, noise(2, 32, 16, 3), 2, {});
  CHECK(encoded.symbols[0].shape() == Shape{2, 1, 2, 1});
  CHECK(encoded.symbols[1].shape() == Shape{2, 1, 4, 2});
  decode_images(model, encoded.symbols, 2, {}, [](const Tensor& images, int64_t) {
    CHECK(images.shape() == Shape{2, 32, 16, 3});
  });
}

// The symbol of latent (y, x) of image n, layer l, is at [n,l,y,x].
TEST_CASE("coding: symbols lie where the file's axes say") {
  RunOptions options = small(16);
  options.estimator = Estimator::ste;
  options.layers = 2;
  apply_preset(options);
  const auto model = make_model(options, 3, {}, Rng(3));
  const Dataset images = noise(3, 8, 12, 3);
  const EncodedImages encoded = encode_images(*model, images, 3, {});
  REQUIRE(encoded.symbols[0].shape() == Shape{3, 2, 2, 3});
  const auto found = encoded.symbols[0].to_vector<int32_t>();
  const NoGradGuard no_grad;
  const Tensor floats = ops::affine(images.images, 2.f / 255.f, -1.f, DType::f32);
  const auto rows = (*model)(floats).symbols()[0].to_vector<int32_t>();  // [2,18]
  for (size_t n = 0; n < 3; ++n)
    for (size_t l = 0; l < 2; ++l)
      for (size_t at = 0; at < 6; ++at)
        CHECK(found[(n * 2 + l) * 6 + at] == rows[l * 18 + n * 6 + at]);
}

TEST_CASE("coding: files that the model cannot decode are refused by name") {
  RunOptions options = small(8);
  options.model = ModelKind::vqvae2;
  apply_preset(options);
  const auto two = make_model(options, 3, {}, Rng(3));
  options.model = ModelKind::vqvae;
  const auto one = make_model(options, 3, {}, Rng(3));
  const TemporaryFolder folder;
  const std::string path = folder / "s.npy";
  const auto refusal = [&](const VqModel& model, const Shape& shape, float value) {
    write_npy(path, ops::full(shape, value, {}, DType::i32));
    const std::string what = error_of([&] { read_symbols(model, path); });
    CHECK((what.empty() || contains(what, folder / "s.")));
    return what;
  };
  CHECK(refusal(*one, {2, 1, 3, 5}, 7).empty());
  CHECK(contains(refusal(*one, {2, 1, 3, 5}, 8), "holds 8"));
  CHECK(contains(refusal(*one, {2, 1, 3, 5}, -1), "holds -1"));
  CHECK(contains(refusal(*one, {2, 2, 3, 5}, 0), "[N,1,h,w]"));
  CHECK(contains(refusal(*one, {2, 3, 5}, 0), "[2,3,5]"));
  CHECK(contains(refusal(*one, {0, 1, 3, 5}, 0), "[0,1,3,5]"));
  CHECK(contains(refusal(*two, {2, 1, 3, 5}, 0), "s.top.npy"));  // is not there
  write_npy(folder / "s.top.npy", ops::full({2, 1, 2, 2}, 0, {}, DType::i32));
  write_npy(folder / "s.bottom.npy", ops::full({2, 1, 4, 5}, 0, {}, DType::i32));
  CHECK(contains(refusal(*two, {1, 1, 1, 1}, 0), "is not of the images of"));
  write_npy(folder / "s.bottom.npy", ops::full({2, 1, 4, 4}, 0, {}, DType::i32));
  CHECK(read_symbols(*two, path).size() == 2);
}

TEST_CASE("programs: pictures that are decoded have the bytes of those that were reconstructed" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", here = temporary.path().string();
  for (const std::string more :
       {"--estimator ste --validation-images 20 --test-images 20", "--model vqvae2"}) {
    CAPTURE(more);
    std::filesystem::remove_all(folder);
    REQUIRE(run("train --data synthetic --latent 8 --codes 8 --train-images 64 --batch-size 16 "
                "--epochs 1 --threads 1 --quiet --out " +
                folder + " " + more + (contains(more, "valid") ? "" : " --test-images 20"))
                .code == 0);
    const auto before = tree(folder);
    const std::string images = contains(more, "valid") ? "validation" : "test";
    const Ended encoded = run("encode " + folder + " --data synthetic --images " + images +
                                  " --output s.npy --reconstructions made",
                              {}, here);
    CAPTURE(encoded.err);
    REQUIRE(encoded.code == 0);
    CHECK(contains(encoded.out, contains(more, "vqvae2") ? "s.bottom.npy" : "int32 [20,1,8,8]"));
    CHECK(contains(encoded.out, contains(more, "vqvae2") ? "240.0 bits" : "192.0 bits per image"));
    const Ended decoded = run("decode " + folder + " s.npy --output again", {}, here);
    CAPTURE(decoded.err);
    REQUIRE(decoded.code == 0);
    for (int i = 0; i < 20; ++i) {
      const std::string name = str(i < 10 ? "/0000" : "/000", i, ".png");
      CHECK((read_file((temporary / "again") + name) == read_file((temporary / "made") + name)));
    }
    CHECK_FALSE(is_there(temporary / "again/00020.png"));
    REQUIRE(run("decode " + folder + " s.npy --output all.png", {}, here).code == 0);
    CHECK(is_there(temporary / "all.png"));
    CHECK((tree(folder) == before));
  }
  CHECK(contains(error_line(run("encode " + folder +
                                    " --data synthetic --images validation "
                                    "--output s.npy",
                                {}, here)),
                 "no validation images"));
  write_file(temporary / "s.top.npy", "PNG");
  CHECK(contains(error_line(run("decode " + folder + " s.npy --output x", {}, here)),
                 "s.top.npy is not a .npy file"));
  CHECK_FALSE(is_there(temporary / "x"));
}

TEST_CASE("programs: encode takes pictures of one's own" * doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run", here = temporary.path().string();
  REQUIRE(run(tiny(folder, "--epochs 1 --quiet")).code == 0);
  const Tensor wide = ops::uniform({1, 24, 40, 3}, Rng(2), -1, 1, {});
  write_png_files(temporary / "one", wide);
  write_png_files(temporary / "two", wide);
  write_png_files(temporary / "two", ops::full({1, 30, 30, 1}, 0, {}), 1);
  const auto encode = [&](const std::string& input) {
    return run("encode " + folder + " --output s.npy --reconstructions made --input " + input, {},
               here);
  };
  const auto same = [&](const std::string& name) {
    REQUIRE(run("decode " + folder + " s.npy --output again", {}, here).code == 0);
    return read_file(temporary / ("again/" + name)) == read_file(temporary / ("made/" + name));
  };
  for (const char* input : {"one", "one/00000.png"}) {
    CAPTURE(input);
    const Ended ended = encode(input);
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    CHECK(contains(ended.out, "int32 [1,1,6,10]"));
    CHECK(same("00000.png"));
  }
  REQUIRE(encode("two --size 16").code == 0);
  CHECK(read_npy(temporary / "s.npy").shape() == Shape{2, 1, 4, 4});
  CHECK(same("00001.png"));
  CHECK(contains(error_line(encode("two")), "two/0000"));  // two sizes
  CHECK(contains(error_line(encode("two/00001.png")), "multiples of 4"));
  CHECK(contains(error_line(encode("s.npy")), "s.npy"));
  CHECK(contains(error_line(encode("nowhere")), "nowhere"));
  CHECK(contains(error_line(encode("one --images train")), "--images"));
}

}  // namespace versor::testing
