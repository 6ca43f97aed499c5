// A quantizer of one's own: a class of forty lines in a separate file takes the place of the
// family's in the model, in training, in evaluation and in the statistics. vq/ knows nothing of it.
#include "experiments/examples/quarter_quantizer.h"
#include "nn/adam.h"
#include "tests/vq/support.h"
#include "vq/usage.h"
#include "vq/vqvae.h"

namespace versor::testing {
namespace {

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
