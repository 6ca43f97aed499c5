// A quantizer of one's own: a class of forty lines in a separate file takes the place of the
// family's in the model, in training, in evaluation and in the statistics. vq/ knows nothing of it.
#include "nn/adam.h"
#include "tensor/file.h"
#include "tests/vq/support.h"
#include "vq/estimators.h"
#include "vq/ops.h"
#include "vq/usage.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

// Rounds every latent to a multiple of 1/4 in [0, 4): D symbols per row, 16 values of each.
class QuarterQuantizer final : public Quantizer {
 public:
  QuarterQuantizer(int64_t latent, Device device) : latent_(latent) {
    std::vector<float> levels;
    for (int k = 0; k < 16; ++k) levels.push_back(static_cast<float>(k) / 4);
    levels_ = Tensor::from(levels, {16, 1}, device);
  }

  Quantized operator()(const Variable& e, ForwardPass) const override {
    const int64_t rows = e.shape()[0];
    // Every latent by itself, one column of e after the other: the nearest of the 16 levels.
    const Tensor latents = ops::permute(e.value(), {1, 0}).reshape({rows * latent_, 1});
    Quantized out;
    out.index = vq::nearest_code(latents, levels_).reshape({latent_, rows});
    out.counts = Tensor({latent_, 16}, DType::i32, e.value().device());
    for (int64_t d = 0; d < latent_; ++d) {
      Tensor counts = out.counts.rows(d, d + 1).reshape({16});
      ops::copy(counts, ops::bincount(out.index.rows(d, d + 1).reshape({rows}), 16));
    }
    out.input = e.value();
    out.codes = decode(out.index);
    out.value = pass_through(e, out.codes, Estimator::ste);  // e gets the gradient of the value
    out.commitment_loss = mse(e, Variable(out.codes));       // and stays within [0, 4)
    out.error = out.commitment_loss.value();
    return out;
  }
  Tensor decode(const Tensor& index) const override {
    const Tensor latents = ops::gather_rows(levels_, index.reshape({index.numel()}));
    return ops::permute(latents.reshape({latent_, index.dim(1)}), {1, 0});
  }
  Vocabulary vocabulary() const override { return {latent_, 16}; }

 private:
  int64_t latent_;
  Tensor levels_;  // [16,1]
};

TEST_CASE("custom quantizer: rounds, counts and decodes by hand") {
  QuarterQuantizer quantizer(2, test_device());
  const Variable e(to_tensor({{3, 2}, {0.3, -7, 1.1, 0.6, 99, 0}}), true);
  const Quantized out = quantizer(e, true);
  CHECK(to_array(out.value.value()).data == std::vector<double>{0.25, 0, 1, 0.5, 3.75, 0});
  CHECK(indices_of(out.index) == ref::Indices{1, 4, 15, 0, 2, 0});  // 1/4, 1, 15/4; 0, 1/2, 0
  CHECK((bits_of(quantizer.decode(out.index)) == bits_of(out.value.value())));
  CHECK(vq::perplexity(out.counts).item() ==  // 3 values evenly; 2/3 and 1/3
        doctest::Approx(std::sqrt(3 * ref::perplexity({{2}, {2, 1}}))).epsilon(1e-6));
  const Tensor g = to_tensor({{3, 2}, {1, 2, 3, 4, 5, 6}});
  backward_with(out.value, g);
  CHECK((bits_of(e.grad()) == bits_of(g)));
}

TEST_CASE("custom quantizer: the README quotes it as it is" * cpu_only()) {
  const std::string file = read_file("tests/vq/test_custom_quantizer.cpp");
  const size_t begin = file.find("// Rounds every latent"), end = file.find("\n};\n", begin);
  REQUIRE(end != std::string::npos);
  const std::string text = file.substr(begin, end + 4 - begin);
  CHECK(contains(read_file("README.md"), text));
  CHECK(std::count(text.begin(), text.end(), '\n') <= 40);
}

TEST_CASE("custom quantizer: a model trains with it") {
  const int64_t latent = 8;
  const Device device = test_device();
  const Rng rng(1);
  VqVaeOptions options;
  options.quantizer.codebook.latent = latent;
  VqVae model(options, device, rng, std::make_unique<QuarterQuantizer>(latent, device));
  Adam adam(model.parameters(), {.lr = 1e-2f});
  ref::Array images = ref::zeros({4, 8, 8, 3});  // each of one colour
  for (int64_t i = 0; i < images.count(); ++i)
    images[i] = ref::Random(i / 192 * 3 + i % 3).uniform();
  std::vector<float> losses;
  for (int step = 0; step < 25; ++step) {
    adam.zero_grad();
    const VqVaeLoss loss = vqvae_loss(model(to_tensor(images)), to_tensor(images), 0.25f);
    backward(loss.total);
    adam.step();
    losses.push_back(loss.reconstruction.item());
  }
  CHECK(losses.back() < 0.5f * losses.front());

  // In evaluation the decoder gets exactly what a file of symbols decodes to.
  model.set_training(false);
  const Quantized out = model(to_tensor(images)).quantized();
  CHECK((bits_of(model.quantizer().decode(out.index)) == bits_of(out.value.value())));
  UsageHistogram usage(model.quantizer().vocabulary());
  usage.add(out.counts);
  CHECK(usage.nominal_bits() == 16.0 * latent * 4);  // 16 rows of 8 symbols of 4 bits
  CHECK(usage.entropy_bits() < usage.nominal_bits());
  CHECK(usage.used() > latent);  // several values of some symbol
}

}  // namespace
}  // namespace versor::testing
