// The VQ-VAE of the paper (sections 2.1-2.3): shapes, the names of the PyTorch twin, the number of
// parameters, what it computes against a composition of the reference, the total loss (eq. 7), and
// gradients of every parameter. Against PyTorch itself: test_golden.cpp.
#include "tests/vq/models.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

Array draw_images(uint64_t seed) {
  return testing::draw_images(seed, 2, 8, 12);
}

// The parameters of the PyTorch twin outside the quantizer; no block has a projection here.
const std::vector<std::string> kTwinNames = {
    "encoder.0.weight",       "encoder.0.bias",         "encoder.2.weight",
    "encoder.2.bias",         "encoder.4.conv1.weight", "encoder.4.conv1.bias",
    "encoder.4.conv2.weight", "encoder.4.conv2.bias",   "encoder.5.conv1.weight",
    "encoder.5.conv1.bias",   "encoder.5.conv2.weight", "encoder.5.conv2.bias",
    "decoder.0.conv1.weight", "decoder.0.conv1.bias",   "decoder.0.conv2.weight",
    "decoder.0.conv2.bias",   "decoder.1.conv1.weight", "decoder.1.conv1.bias",
    "decoder.1.conv2.weight", "decoder.1.conv2.bias",   "decoder.2.weight",
    "decoder.2.bias",         "decoder.4.weight",       "decoder.4.bias"};

// relu(conv2(relu(conv1(x))) + x) with the parameters of `name`.
Array block_of(const VqVae& model, const std::string& name, const Array& x) {
  const auto p = [&](const char* part) {
    return to_array(state_of(model, name + "." + part).value());
  };
  const Array h = ref::conv2d(x, p("conv1.weight"), p("conv1.bias"), 1, 1, true);
  return ref::add_relu(ref::conv2d(h, p("conv2.weight"), p("conv2.bias"), 1, 1), x);
}

}  // namespace

TEST_CASE("vqvae: names exactly as the twin's, codebook and buffers last") {
  VqVaeOptions options = small();
  const VqVae ema(options, test_device(), Rng(1));
  CHECK(names_of(ema.named_parameters()) == kTwinNames);
  CHECK(names_of(ema.named_buffers()) ==
        std::vector<std::string>{"codebook.weight", "ema_cluster_size", "ema_dw"});
  for (CodebookLearning owner : {CodebookLearning::gradient, CodebookLearning::both}) {
    options.quantizer.codebook.learning = owner;
    const VqVae model(options, test_device(), Rng(1));
    std::vector<std::string> names = kTwinNames;
    names.push_back("codebook.weight");
    CHECK(names_of(model.named_parameters()) == names);
    CHECK(names_of(model.named_buffers()) ==
          std::vector<std::string>{"ema_cluster_size", "ema_dw"});
  }
}

TEST_CASE("vqvae: shapes and number of parameters at the paper's size") {
  // encoder.0     4*4*  3*128 + 128 =    6,272
  // encoder.2     4*4*128*256 + 256 =  524,544
  // 8 x conv 3x3  3*3*256*256 + 256 =  590,080 each, 4,720,640 together
  // decoder.2     4*4*256*128 + 128 =  524,416
  // decoder.4     4*4*128*  3 +   3 =    6,147
  // network                            5,782,019
  // codebook         1,024*256      =   262,144
  // all                                6,044,163
  VqVaeOptions options = small(256, 1024);
  const VqVae model(options, test_device(), Rng(1));
  CHECK(model.parameter_count() == 5'782'019);
  CHECK(state_of(model, "encoder.0.weight").shape() == Shape{128, 4, 4, 3});
  CHECK(state_of(model, "encoder.2.weight").shape() == Shape{256, 4, 4, 128});
  CHECK(state_of(model, "encoder.5.conv2.weight").shape() == Shape{256, 3, 3, 256});
  CHECK(state_of(model, "decoder.2.weight").shape() == Shape{256, 4, 4, 128});
  CHECK(state_of(model, "decoder.4.weight").shape() == Shape{128, 4, 4, 3});
  CHECK(state_of(model, "decoder.4.bias").shape() == Shape{3});
  CHECK(state_of(model, "codebook.weight").shape() == Shape{1024, 256});
  CHECK(state_of(model, "ema_cluster_size").shape() == Shape{1024});
  CHECK(state_of(model, "ema_dw").shape() == Shape{1024, 256});
  options.quantizer.codebook.learning = CodebookLearning::gradient;
  CHECK(VqVae(options, test_device(), Rng(1)).parameter_count() == 6'044'163);
}

TEST_CASE("vqvae: every layer draws values of its own, from the seed") {
  const VqVae a(small(), test_device(), Rng(1)), again(small(), test_device(), Rng(1)),
      other(small(), test_device(), Rng(2));
  CHECK(state_bits(a) == state_bits(again));
  std::map<std::string, std::string> owner_of;  // bits -> name
  for (const auto& [name, bits] : state_bits(a)) {
    if (name.starts_with("ema_")) continue;
    CAPTURE(name);
    CHECK((bits != state_bits(other).at(name)));
    CHECK(owner_of.emplace(bits, name).second);
  }
}

TEST_CASE("vqvae: shapes of the outputs, non-square images and other channels too") {
  for (const Shape& shape : {Shape{2, 8, 8, 3}, Shape{1, 12, 20, 3}, Shape{3, 4, 16, 1}}) {
    CAPTURE(shape);
    VqVaeOptions options = small(6, 5);
    options.image_channels = shape[3];
    options.hidden = 5;
    VqVae model(options, test_device(), Rng(1));
    CHECK(state_of(model, "encoder.0.weight").shape() == Shape{5, 4, 4, shape[3]});
    Random random(1);
    const VqVaeOutput out = model(to_tensor(random_array(random, shape)));
    const int64_t n = shape[0], h = shape[1] / 4, w = shape[2] / 4;
    CHECK(out.reconstruction.shape() == shape);
    CHECK(out.latents().shape() == Shape{n, h, w, 6});
    CHECK(out.quantized().value.shape() == Shape{n * h * w, 6});
    CHECK(out.quantized().index.shape() == Shape{1, n * h * w});
    CHECK(out.quantized().counts.shape() == Shape{1, 5});
    CHECK(out.quantized().codebook_loss.shape() == Shape{1});
    for (float v : out.reconstruction.value().to_vector<float>()) CHECK(std::abs(v) < 1);
  }
}

TEST_CASE("vqvae: encoder and decoder against the reference") {
  VqVae model(small(), test_device(), Rng(3));
  const Array images = draw_images(40);
  const auto p = [&](const std::string& name) { return to_array(state_of(model, name).value()); };
  Array x = ref::conv2d(images, p("encoder.0.weight"), p("encoder.0.bias"), 2, 1, true);
  x = ref::conv2d(x, p("encoder.2.weight"), p("encoder.2.bias"), 2, 1, true);
  x = block_of(model, "encoder.5", block_of(model, "encoder.4", x));
  CHECK(error(model.encode(to_tensor(images)).value(), x) <= kTolerance);
  for (double v : x.data) CHECK(v >= 0);  // the last block ends in ReLU

  const Array latents = rounded(x);
  Array y = block_of(model, "decoder.1", block_of(model, "decoder.0", latents));
  y = ref::conv_transpose2d(y, p("decoder.2.weight"), p("decoder.2.bias"), 2, 1);
  y = ref::conv_transpose2d(ref::relu(y), p("decoder.4.weight"), p("decoder.4.bias"), 2, 1);
  CHECK(error(model.decode(Variable(to_tensor(latents))).value(), ref::tanh(y)) <= kTolerance);
}

TEST_CASE("vqvae: the decoder gets the codes, row by row in their places") {
  VqVae model(small(), test_device(), Rng(4));
  const Array images = draw_images(41);
  const Tensor before = ops::clone(state_of(model, "codebook.weight").value());
  const VqVaeOutput out = model(to_tensor(images));
  const Array rows = to_array(out.latents().value().flat_rows());
  const ref::Indices index = ref::nearest_code(rows, to_array(before));
  CHECK(indices_of(out.quantized().index) == index);
  const Tensor q = ops::gather_rows(before, index_tensor(index)).reshape(out.latents().shape());
  CHECK((bits_of(model.decode(Variable(q)).value()) == bits_of(out.reconstruction.value())));
}

TEST_CASE("vqvae: its symbols decode to the reconstruction of evaluation, bit for bit") {
  VqVae model(small(), test_device(), Rng(4));
  model.set_training(false);
  const Tensor images = to_tensor(draw_images(47));
  const VqVaeOutput out = model(images);
  REQUIRE(out.symbols().size() == 1);
  CHECK((bits_of(model.decode_symbols(out.symbols(), images.shape())) ==
         bits_of(out.reconstruction.value())));
  CHECK(contains(error_of([&] { model.decode_symbols({}, images.shape()); }), "got 0 levels"));
}

TEST_CASE("vqvae: total loss = reconstruction + codebook + beta commitment") {
  VqVae model(small(), test_device(), Rng(5));
  const Array images = draw_images(42);
  const VqVaeOutput out = model(to_tensor(images));
  for (float beta : {0.f, 0.25f, 2.f}) {
    const VqVaeLoss loss = vqvae_loss(out, to_tensor(images), beta);
    const ref::Losses expected = ref::losses(to_array(out.reconstruction.value()), images,
                                             to_array(out.latents().value().flat_rows()),
                                             to_array(out.quantized().codes), beta);
    CHECK(loss.reconstruction.item() == doctest::Approx(expected.reconstruction).epsilon(1e-5));
    CHECK(out.quantized().codebook_loss.item() == doctest::Approx(expected.codebook).epsilon(1e-5));
    CHECK(out.quantized().commitment_loss.item() ==
          doctest::Approx(expected.commitment).epsilon(1e-5));
    CHECK(loss.total.item() == doctest::Approx(expected.total).epsilon(1e-5));
  }
}

// In a model both losses have the same value, which hides which of them beta weighs.
TEST_CASE("vqvae: beta weighs the commitment alone, and a loss that is not there is none") {
  const auto scalar = [](float value) { return Variable(ops::full({1}, value, test_device())); };
  const Tensor images = ops::zeros({1, 4, 4, 3}, test_device());
  VqVaeOutput out;
  out.reconstruction = Variable(ops::full({1, 4, 4, 3}, 2.f, test_device()));
  CHECK(vqvae_loss(out, images, 0.5f).total.item() == 4);
  Quantized& quantized = out.levels.emplace_back().quantized;
  quantized.codebook_loss = scalar(3);
  quantized.commitment_loss = scalar(10);
  CHECK(vqvae_loss(out, images, 0.5f).total.item() == 12);
  quantized.auxiliary_loss = scalar(100);
  CHECK(vqvae_loss(out, images, 0.5f).total.item() == 112);
}

TEST_CASE("vqvae: every parameter gets a finite gradient that is not zero") {
  for (Estimator estimator : {Estimator::ste, Estimator::rotation, Estimator::reflection,
                              Estimator::published, Estimator::rotation_unscaled}) {
    VqVaeOptions options = small(8, 16);
    options.quantizer.estimator = estimator;
    options.quantizer.codebook.learning = CodebookLearning::gradient;
    VqVae model(options, test_device(), Rng(6));
    const Tensor images = to_tensor(draw_images(43, 3, 12, 8));
    const VqVaeOutput out = model(images);
    backward(vqvae_loss(out, images, 0.25f).total);
    for (const auto& [name, p] : model.named_parameters()) {
      CAPTURE(name);
      REQUIRE(p.grad().defined());
      CHECK(p.grad().shape() == p.shape());
      CHECK(all_finite(p.grad()));
      CHECK(ref::norm(to_array(p.grad())) > 1e-9);
    }
  }
}

TEST_CASE("vqvae: a pass changes nothing; an update changes the codebook") {
  VqVae model(small(), test_device(), Rng(7));
  const Tensor images = to_tensor(draw_images(44));
  const auto before = state_bits(model);
  model.set_training(false);
  const std::string once = bits_of(model(images).reconstruction.value());
  CHECK((bits_of(model(images).reconstruction.value()) == once));
  CHECK(state_bits(model) == before);
  model.set_training(true);
  const VqVaeOutput out = model(images);
  CHECK(state_bits(model) == before);
  model.update({out});
  const auto after = state_bits(model);
  for (const auto& [name, bits] : before)
    CHECK((after.at(name) != bits) == (name == "codebook.weight" || name.starts_with("ema_")));
}

TEST_CASE("vqvae: training lowers the loss, and two runs give the same bits") {
  check_training([] { return std::make_unique<VqVae>(small(8, 16), test_device(), Rng(8)); });
}

TEST_CASE("vqvae: with activations in bf16 it computes the same, less exactly") {
  VqVaeOptions options = small();
  VqVae exact(options, test_device(), Rng(9));
  options.activations = DType::bf16;
  VqVae rounding(options, test_device(), Rng(9));
  const Tensor images = to_tensor(draw_images(46));
  const Array latents = to_array(exact.encode(images).value());
  const Tensor found = rounding.encode(images).value();
  CHECK(found.dtype() == DType::f32);
  CHECK(error(found, latents) <= 2e-2);
  CHECK(error(found, latents) > 1e-4);
  const Variable same(to_tensor(latents));
  const Tensor decoded = rounding.decode(same).value();
  CHECK(decoded.dtype() == DType::f32);
  CHECK(error(decoded, to_array(exact.decode(same).value())) <= 2e-2);
  // tanh follows the last rounding, so its values are not bf16 numbers.
  CHECK(rounded_to_bf16(to_array(decoded)).data != to_array(decoded).data);
  backward(vqvae_loss(rounding(images), images, 0.25f).total);
  for (const auto& [name, p] : rounding.named_parameters()) {
    CAPTURE(name);
    CHECK(p.value().dtype() == DType::f32);
    REQUIRE(p.grad().defined());
    CHECK(p.grad().dtype() == DType::f32);
    CHECK(all_finite(p.grad()));
  }
}

TEST_CASE("vqvae: sizes that do not fit are errors that name them") {
  VqVae model(small(), test_device(), Rng(1));
  for (const Shape& shape : {Shape{2, 6, 8, 3}, Shape{2, 8, 7, 3}, Shape{2, 0, 8, 3}}) {
    const std::string message = error_of([&] { model(empty(shape)); });
    CHECK(contains(message, "[vqvae]"));
    CHECK(contains(message, str(shape)));
  }
  CHECK_THROWS_AS(model(empty({8, 8, 3})), Error);
  CHECK_THROWS_AS(model(empty({2, 8, 8, 4})), Error);
  CHECK(contains(error_of([] { VqVae(small(8, 0), test_device(), Rng(1)); }), "got 0"));
  CHECK(contains(error_of([] { VqVae(small(1, 4), test_device(), Rng(1)); }),
                 "latent size 1 is too small"));
  CHECK_THROWS_AS(VqVae(small(0, 4), test_device(), Rng(1)), Error);
}

}  // namespace versor::testing
