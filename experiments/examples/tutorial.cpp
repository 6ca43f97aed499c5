// One image from its bytes to the updated code: the twelve steps that README.md explains.
#include <fmt/format.h>

#include <cmath>

#include "autograd/functions.h"
#include "data/batcher.h"
#include "data/synthetic.h"
#include "nn/adam.h"
#include "nn/safetensors.h"
#include "vq/vqvae.h"

using namespace versor;

// Of the first row.
static double length(const Tensor& x) {
  double sum = 0;
  for (float value : x.rows(0, 1).to_vector<float>()) sum += double(value) * value;
  return std::sqrt(sum);
}

int main() {
  const Dataset set = synthetic_images(1, 1).train;
  fmt::print(" 1  {} bytes, the first is {}\n", set.images.bytes(), set.images.data<uint8_t>()[0]);

  const Tensor image = Batcher(set, 1).in_order().batch(0);  // f32 [1,32,32,3]
  fmt::print(" 2  its red is {:.4f} in [-1,1]\n", image.to_vector<float>()[0]);

  VqVaeOptions options;
  options.quantizer.codebook = {.codes = 16, .latent = 8, .decay = 0.8};
  VqVae model(options, Device{}, Rng(1));
  fmt::print(" 3  a model of {} parameters\n", model.parameter_count());

  const Variable latents = model.encode(image);  // [1,8,8,D]
  fmt::print(" 4  {} latents\n", str(latents.shape()));

  Quantizer& quantizer = model.quantizer();
  quantizer.start_from(rows(latents).value());
  Variable e = rows(latents);  // [64,D]
  fmt::print(" 5  the first latent has length {:.4f}\n", length(e.value()));

  const Quantized quantized = quantizer(e, /*training=*/true);
  const int code = quantized.index.to_vector<int32_t>()[0];
  fmt::print(" 6  its nearest code is number {} of 16: 4 bits\n", code);

  Variable q = quantized.value;  // [64,D]
  fmt::print(" 7  that code has length {:.4f}\n", length(q.value()));

  const Variable reconstruction = model.decode(reshape(q, latents.shape()));
  fmt::print(" 8  the decoder's red is {:.4f}\n", reconstruction.value().to_vector<float>()[0]);

  const Variable error = mse(reconstruction, Variable(image));
  const Variable loss = error + scale(quantized.commitment_loss, 0.25f);
  fmt::print(" 9  loss {:.4f}, of which reconstruction {:.4f}\n", loss.item(), error.item());

  q.retain_grad();
  e.retain_grad();
  backward(error);
  fmt::print("10  |dL/de| / |dL/dq|, ratio {:.4f}, is |q|/|e| {:.4f}\n",
             length(e.grad()) / length(q.grad()), length(q.value()) / length(e.value()));

  const Tensor size = state_dict(quantizer).at("ema_cluster_size");  // N [K], not a copy
  const float before = size.to_vector<float>()[code];
  quantizer.update({quantized});  // N <- 0.8 N + 0.2 n, m <- 0.8 m + 0.2 s, code <- m / N
  fmt::print("11  {} latents chose the code: its N was {:.2f} and is {:.2f}\n",
             quantized.counts.to_vector<int32_t>()[code], before, size.to_vector<float>()[code]);

  Adam adam(model.flat_parameters(), {.lr = 2e-3f});
  for (int step = 0; step < 100; ++step) {
    adam.zero_grad();
    const VqVaeOutput output = model(image);
    backward(vqvae_loss(output, image, 0.25f).total);
    model.update({output});
    adam.step();
  }
  fmt::print("12  after 100 steps the reconstruction loss is {:.4f}\n",
             mse(model(image).reconstruction, Variable(image)).item());
}
