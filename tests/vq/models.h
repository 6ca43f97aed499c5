// What the tests of both models share: a small model, images, and a training that is run twice.
#pragma once

#include "nn/adam.h"
#include "tests/vq/support.h"
#include "vq/model.h"

namespace versor::testing {

inline VqVaeOptions small(int64_t latent = 8, int64_t codes = 6) {
  VqVaeOptions options;
  options.quantizer.codebook.latent = latent;
  options.quantizer.codebook.codes = codes;
  return options;
}

inline ref::Array draw_images(uint64_t seed, int64_t n, int64_t height, int64_t width) {
  ref::Random random(seed);
  return rounded(random.array({n, height, width, 3}));
}

// A size that can be halved three times.
inline Tensor images_of(uint64_t seed, int64_t n = 2, int64_t height = 8, int64_t width = 16) {
  return to_tensor(draw_images(seed, n, height, width));
}

// Starts the codebooks from one batch.
inline void start(VqModel& model, const Tensor& images) {
  model.start_codebooks(1, [&](int64_t) { return std::vector{images}; });
}

// Trains a model from `make()` on four images of one colour each, which can be learned, and then a
// second one: the loss must fall, and both end with the same bits.
template <class Make>
void check_training(const Make& make) {
  ref::Array colours = draw_images(45, 4, 8, 8);
  for (int64_t i = 0; i < colours.count(); ++i) colours[i] = colours[i / 192 * 192 + i % 3];
  const Tensor images = to_tensor(colours);
  const auto train = [&](std::vector<float>& losses) {
    const auto model = make();
    start(*model, images);
    Adam adam(model->parameters(), {.lr = 1e-2f});
    for (int step = 0; step < 25; ++step) {
      adam.zero_grad();
      const VqVaeLoss loss = vqvae_loss((*model)(images), images, 0.25f);
      backward(loss.total);
      adam.step();
      losses.push_back(loss.reconstruction.item());
    }
    return state_bits(*model);
  };
  std::vector<float> first, second;
  CHECK(train(first) == train(second));
  CHECK(first == second);
  CHECK(first.back() < 0.75f * first.front());
}

}  // namespace versor::testing
