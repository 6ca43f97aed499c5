// One image from its bytes to the updated code, in the twelve steps of README.md here, which
// quotes this file.
//   bin/examples/tutorial
#include <cmath>
#include <cstdio>

#include "autograd/functions.h"
#include "data/batcher.h"
#include "data/synthetic.h"
#include "nn/adam.h"
#include "vq/vector_quantizer.h"
#include "vq/vqvae.h"

using namespace versor;

namespace {

std::vector<float> row(const Tensor& x, int64_t r) {
  return x.rows(r, r + 1).to_vector<float>();
}
double length(const std::vector<float>& x) {
  double sum = 0;
  for (float value : x) sum += double(value) * value;
  return std::sqrt(sum);
}

}  // namespace

int main() {
  const Dataset set = synthetic_images(1, 1).train;
  std::printf(" 1  %zu bytes; the first pixel is red %d, green %d, blue %d\n", set.images.bytes(),
              set.images.data<uint8_t>()[0], set.images.data<uint8_t>()[1],
              set.images.data<uint8_t>()[2]);

  const Tensor image = Batcher(set, 1).in_order().batch(0);  // f32 [1,32,32,3]
  std::printf(" 2  its red is %.4f in [-1,1]\n", image.to_vector<float>()[0]);

  VqVaeOptions options;
  options.quantizer.codebook = {.codes = 16, .latent = 8, .decay = 0.8};
  options.quantizer.estimator = Estimator::rotation;
  VqVae model(options, Device{}, Rng(1));
  std::printf(" 3  a model of %lld parameters\n", static_cast<long long>(model.parameter_count()));

  const Variable latents = model.encode(image);  // [1,8,8,D]
  std::printf(" 4  %s latents\n", str(latents.shape()).c_str());

  auto& quantizer = dynamic_cast<VectorQuantizer&>(model.quantizer());
  Codebook& codebook = quantizer.codebook();
  codebook.start_from(rows(latents).value());
  Variable e = rows(latents);  // [64,D]
  std::printf(" 5  the first latent has length %.4f\n", length(row(e.value(), 0)));

  const Quantized quantized = quantizer(e, /*training=*/true);
  const int code = quantized.index.to_vector<int32_t>()[0];
  std::printf(" 6  its nearest code is number %d of 16: 4 bits\n", code);

  Variable q = quantized.value;  // [64,D]
  std::printf(" 7  that code has length %.4f\n", length(row(q.value(), 0)));

  const Variable reconstruction = model.decode(reshape(q, latents.shape()));
  std::printf(" 8  the decoder's red is %.4f\n", reconstruction.value().to_vector<float>()[0]);

  const Variable error = mse(reconstruction, Variable(image));
  const Variable loss = error + scale(quantized.commitment_loss, 0.25f);
  std::printf(" 9  loss %.4f, of which reconstruction %.4f\n", loss.item(), error.item());

  q.retain_grad();
  e.retain_grad();
  backward(error);
  std::printf("10  gradients: %.3e at the code, %.3e at the latent, ratio %.4f = |q|/|e| %.4f\n",
              length(row(q.grad(), 0)), length(row(e.grad(), 0)),
              length(row(e.grad(), 0)) / length(row(q.grad(), 0)),
              length(row(q.value(), 0)) / length(row(e.value(), 0)));

  Variable size;  // N [K]
  for (const auto& [name, buffer] : codebook.named_buffers())
    if (name == "ema_cluster_size") size = buffer;
  const float before = size.value().to_vector<float>()[code];
  quantizer.update({quantized});  // N <- 0.8 N + 0.2 n, m <- 0.8 m + 0.2 s, code <- m / N
  std::printf("11  %d latents chose the code: its N was %.2f and is %.2f\n",
              quantized.counts.to_vector<int32_t>()[code], before,
              size.value().to_vector<float>()[code]);

  Adam adam(model.flat_parameters(), {.lr = 2e-3f});
  for (int step = 0; step < 100; ++step) {
    adam.zero_grad();
    const VqVaeOutput output = model(image);
    backward(vqvae_loss(output, image, 0.25f).total);
    model.update({output});
    adam.step();
  }
  std::printf("12  after 100 steps the reconstruction loss is %.4f\n",
              mse(model(image).reconstruction, Variable(image)).item());
}
