// A quantizer of one's own in the paper's model: every latent is rounded to a multiple of 1/4
// (quarter_quantizer.h).
//   bin/examples/own_quantizer
#include <cstdio>

#include "data/batcher.h"
#include "data/synthetic.h"
#include "experiments/examples/quarter_quantizer.h"
#include "experiments/run/training_step.h"
#include "vq/vqvae.h"

using namespace versor;

int main() {
  const Device device;
  const Rng rng(1);
  VqVaeOptions options;
  const int64_t latent = options.quantizer.codebook.latent = 8;
  options.hidden = 16;
  VqVae model(options, device, rng, std::make_unique<QuarterQuantizer>(latent, device));
  Adam adam(model.flat_parameters(), {.lr = 2e-3f});

  const DatasetPair images = synthetic_images(512, 16);
  const Batcher batcher(images.train, 32, device);
  for (int64_t e = 0; e < 4; ++e) {
    const Epoch epoch = batcher.shuffled(rng, e);
    double loss = 0;
    for (int64_t b = 0; b < epoch.batches(); ++b)
      loss += training_step(model, adam, epoch.batch(b), 0.25f).loss().reconstruction.item();
    std::printf("epoch %lld  reconstruction loss %.4f\n", static_cast<long long>(e + 1),
                loss / static_cast<double>(epoch.batches()));
  }
}
