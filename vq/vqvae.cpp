// The VQ-VAE: see vqvae.h.
#include "vq/vqvae.h"

#include "autograd/functions.h"

namespace versor {
namespace {

// Every layer draws its initial weights from a stream of its own.
enum Purpose : uint64_t { kEncoder = 10, kDecoder = 20, kCodebook = 30 };

}  // namespace

VqVae::VqVae(const VqVaeOptions& options, Device device, Rng rng)
    : options_(options),
      quantizer_(options.codebook, options.estimator, rng.split(kCodebook), device) {
  const int64_t D = options.codebook.latent, C = options.image_channels;
  if (options_.hidden == 0) options_.hidden = D / 2;
  const int64_t hidden = options_.hidden;
  check(hidden > 0, "vqvae", "latent size ", D, " is too small: it is halved between the layers");

  const auto relu = Activation::relu;
  const auto halving = [](int64_t in, int64_t out, Activation activation) {
    return ConvOptions{in, out, /*kernel=*/4, /*stride=*/2, /*padding=*/1, activation};
  };
  const Rng e = rng.split(kEncoder), d = rng.split(kDecoder);
  encoder_.add<Conv2d>("0", halving(C, hidden, relu), e.split(0), device);
  encoder_.add<Conv2d>("2", halving(hidden, D, relu), e.split(2), device);
  encoder_.add<ResidualBlock>("4", D, D, e.split(4), device);
  encoder_.add<ResidualBlock>("5", D, D, e.split(5), device);
  decoder_.add<ResidualBlock>("0", D, D, d.split(0), device);
  decoder_.add<ResidualBlock>("1", D, D, d.split(1), device);
  decoder_.add<ConvTranspose2d>("2", halving(D, hidden, relu), d.split(2), device);
  decoder_.add<ConvTranspose2d>("4", halving(hidden, C, Activation::none), d.split(4), device);
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  register_module("", quantizer_);
}

Variable VqVae::encode(const Tensor& images) const {
  check(images.shape().rank() == 4 && images.dim(1) % 4 == 0 && images.dim(2) % 4 == 0 &&
            images.dim(1) > 0 && images.dim(2) > 0,
        "vqvae", "needs images [N,H,W,C] with H and W multiples of 4, got ", images.shape());
  return cast(encoder_(cast(Variable(images), options_.activations)), DType::f32);
}

// The tanh is f32, as are all that follows it: a value near 1 in bf16 would be 1/128 off.
Variable VqVae::decode(const Variable& latents) const {
  return tanh(cast(decoder_(cast(latents, options_.activations)), DType::f32));
}

VqVaeOutput VqVae::operator()(const Tensor& images, FiniteGuard* guard) {
  VqVaeOutput out;
  out.latents = encode(images);
  out.quantized = quantizer_(rows(out.latents), training_, guard);
  out.codebook_loss = out.quantized.codebook_loss;
  out.commitment_loss = out.quantized.commitment_loss;
  out.reconstruction = decode(reshape(out.quantized.value, out.latents.shape()));
  return out;
}

VqVaeLoss vqvae_loss(const VqVaeOutput& output, const Tensor& images, float beta) {
  const Variable reconstruction = mse(output.reconstruction, Variable(images));
  return {reconstruction + output.codebook_loss + beta * output.commitment_loss, reconstruction};
}

}  // namespace versor
