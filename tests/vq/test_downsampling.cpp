// Networks for larger images: latents of 8 x 8 and 16 x 16 pixels, in both models, with grey images
// and images that are not square.
#include <doctest/doctest.h>

#include <memory>

#include "tests/reference_conv.h"
#include "tests/vq/models.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

VqVaeOptions downsampling_by(int64_t factor, int64_t channels = 3) {
  VqVaeOptions options = small();
  options.downsampling = factor;
  options.image_channels = channels;
  return options;
}

Tensor noise(const Shape& shape) {
  return ops::uniform(shape, Rng(12), -1.f, 1.f, test_device());
}

// The names of the weights of a part whose names begin with `prefix`, without the residual blocks'
// second halves.
std::vector<std::string> layers_of(const Module& module, const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& [name, parameter] : module.named_parameters())
    if (name.starts_with(prefix) && name.ends_with("weight") &&
        name.find("conv2") == std::string::npos)
      names.push_back(name.substr(prefix.size()) + str(parameter.shape()));
  return names;
}

}  // namespace

TEST_CASE("downsampling: layers are numbered as in an nn.Sequential") {
  using Names = std::vector<std::string>;
  const VqVae eight(downsampling_by(8), test_device(), Rng(1));
  CHECK(layers_of(eight, "encoder.") == Names{"0.weight[4,4,4,3]", "2.weight[8,4,4,4]",
                                              "4.weight[8,4,4,8]", "6.conv1.weight[8,3,3,8]",
                                              "7.conv1.weight[8,3,3,8]"});
  CHECK(layers_of(eight, "decoder.") == Names{"0.conv1.weight[8,3,3,8]", "1.conv1.weight[8,3,3,8]",
                                              "2.weight[8,4,4,8]", "4.weight[8,4,4,4]",
                                              "6.weight[4,4,4,3]"});
  const VqVae2 sixteen(downsampling_by(16, 1), test_device(), Rng(1));
  CHECK(layers_of(sixteen, "encoder_bottom.") ==
        Names{"0.weight[4,4,4,1]", "2.weight[8,4,4,4]", "4.weight[8,4,4,8]", "6.weight[8,4,4,8]",
              "8.conv1.weight[8,3,3,8]", "9.conv1.weight[8,3,3,8]"});
  CHECK(layers_of(sixteen, "decoder.") ==
        Names{"0.conv1.weight[8,3,3,8]", "1.conv1.weight[8,3,3,8]", "2.weight[8,4,4,8]",
              "4.weight[8,4,4,8]", "6.weight[8,4,4,4]", "8.weight[4,4,4,1]"});
}

TEST_CASE("downsampling: ReLU after every layer but the last, against the reference") {
  VqVae model(downsampling_by(8), test_device(), Rng(3));
  const auto p = [&](const std::string& name) { return to_array(state_of(model, name).value()); };
  const auto block = [&](const std::string& name, const ref::Array& x) {
    const auto h = ref::conv2d(x, p(name + ".conv1.weight"), p(name + ".conv1.bias"), 1, 1, true);
    return ref::add_relu(ref::conv2d(h, p(name + ".conv2.weight"), p(name + ".conv2.bias"), 1, 1),
                         x);
  };
  const ref::Array images = draw_images(7, 2, 8, 16);
  ref::Array x = images;
  for (const char* name : {"encoder.0", "encoder.2", "encoder.4"})
    x = ref::conv2d(x, p(str(name, ".weight")), p(str(name, ".bias")), 2, 1, true);
  x = block("encoder.7", block("encoder.6", x));
  CHECK(error(model.encode(to_tensor(images)).value(), x) <= kTolerance);

  const ref::Array latents = rounded(x);
  ref::Array y = block("decoder.1", block("decoder.0", latents));
  for (const char* name : {"decoder.2", "decoder.4"})
    y = ref::relu(ref::conv_transpose2d(y, p(str(name, ".weight")), p(str(name, ".bias")), 2, 1));
  y = ref::conv_transpose2d(y, p("decoder.6.weight"), p("decoder.6.bias"), 2, 1);
  CHECK(error(model.decode(Variable(to_tensor(latents))).value(), ref::tanh(y)) <= kTolerance);
}

TEST_CASE("downsampling: symbols of any size decode to the reconstruction, bit for bit") {
  struct Case {
    int64_t factor, height, width, channels;
    bool two_levels;
  };
  for (const Case& c : {Case{4, 28, 28, 1, false},
                        {8, 16, 40, 3, false},
                        {16, 128, 128, 3, false},
                        {4, 16, 24, 1, true},
                        {8, 32, 16, 3, true},
                        {16, 32, 96, 1, true}}) {
    CAPTURE(c.factor);
    CAPTURE(c.two_levels);
    std::unique_ptr<VqModel> model;
    const VqVaeOptions options = downsampling_by(c.factor, c.channels);
    if (c.two_levels)
      model = std::make_unique<VqVae2>(options, test_device(), Rng(2));
    else
      model = std::make_unique<VqVae>(options, test_device(), Rng(2));
    const Tensor images = noise({2, c.height, c.width, c.channels});
    start(*model, images);
    model->set_training(false);
    const VqVaeOutput out = (*model)(images);
    const int64_t rows = 2 * (c.height / c.factor) * (c.width / c.factor);
    CHECK(out.reconstruction.shape() == images.shape());
    CHECK(out.quantized().index.shape() == Shape{1, rows});
    if (c.two_levels) CHECK(out.levels.front().quantized.index.shape() == Shape{1, rows / 4});
    CHECK((bits_of(model->decode_symbols(out.symbols(), images.shape())) ==
           bits_of(out.reconstruction.value())));
  }
}

TEST_CASE("downsampling: every layer gets a gradient") {
  for (int64_t factor : {8, 16}) {
    VqVae model(downsampling_by(factor, 1), test_device(), Rng(6));
    const Tensor images = noise({3, 32, 48, 1});
    backward(vqvae_loss(model(images), images, 0.25f).total);
    for (const auto& [name, parameter] : model.named_parameters()) {
      CAPTURE(name);
      REQUIRE(parameter.grad().defined());
      CHECK(all_finite(parameter.grad()));
      CHECK(ref::norm(to_array(parameter.grad())) > 1e-12);
    }
  }
}

TEST_CASE("downsampling: other factors and sizes that do not fit are errors that name them") {
  for (int64_t factor : {0, 1, 2, 6, 32})
    CHECK(contains(error_of([&] { VqVae(downsampling_by(factor), test_device(), Rng(1)); }),
                   str("downsampling by ", factor, " is none of 4, 8 and 16")));
  const VqVae one(downsampling_by(8), test_device(), Rng(1));
  CHECK(contains(error_of([&] { one(noise({1, 16, 12, 3})); }), "multiples of 8, got [1,16,12,3]"));
  const VqVae2 two(downsampling_by(16), test_device(), Rng(1));
  CHECK(contains(error_of([&] { two(noise({1, 32, 16, 3})); }), "multiples of 32"));
}

}  // namespace versor::testing
