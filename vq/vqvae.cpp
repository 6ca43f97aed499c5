// The VQ-VAE: see vqvae.h.
#include "vq/vqvae.h"

#include "autograd/functions.h"

namespace versor {
namespace {

// Every layer draws its initial weights from its own stream of random numbers.
enum Purpose : uint64_t { kEncoder = 10, kDecoder = 20, kCodebook = 30 };

}  // namespace

ConvOptions stride_two(int64_t in, int64_t out, Activation activation) {
  return {in, out, /*kernel=*/4, /*stride=*/2, /*padding=*/1, activation};
}

void add_encoder(Sequential& encoder, const VqVaeOptions& o, Rng rng, Device device) {
  const int64_t C = o.image_channels, hidden = o.hidden, D = o.quantizer.codebook.latent;
  encoder.add<Conv2d>("0", stride_two(C, hidden, Activation::relu), rng.split(0), device);
  encoder.add<Conv2d>("2", stride_two(hidden, D, Activation::relu), rng.split(2), device);
  encoder.add<ResidualBlock>("4", D, D, rng.split(4), device);
  encoder.add<ResidualBlock>("5", D, D, rng.split(5), device);
}

void add_decoder(Sequential& decoder, const VqVaeOptions& o, Rng rng, Device device) {
  const int64_t C = o.image_channels, hidden = o.hidden, D = o.quantizer.codebook.latent;
  decoder.add<ResidualBlock>("0", D, D, rng.split(0), device);
  decoder.add<ResidualBlock>("1", D, D, rng.split(1), device);
  decoder.add<ConvTranspose2d>("2", stride_two(D, hidden, Activation::relu), rng.split(2), device);
  decoder.add<ConvTranspose2d>("4", stride_two(hidden, C, Activation::none), rng.split(4), device);
}

VqVae::VqVae(const VqVaeOptions& of_model, Device device, Rng rng, QuantizerPointer own)
    : VqModel(of_model) {
  if (!own) own = make_quantizer(options().quantizer, rng.split(kCodebook), device);
  add_encoder(encoder_, options(), rng.split(kEncoder), device);
  add_decoder(decoder_, options(), rng.split(kDecoder), device);
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  add_level("", std::move(own));
}

Variable VqVae::encode(const Tensor& images) const {
  check_images("vqvae", images, 4);
  return cast(encoder_(cast(Variable(images), options().activations)), DType::f32);
}

// The tanh and all that follows it are f32: just below 1, bf16 numbers lie 1/256 apart.
Variable VqVae::decode(const Variable& latents) const {
  return tanh(cast(decoder_(cast(latents, options().activations)), DType::f32));
}

Tensor VqVae::decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const {
  check(symbols.size() == 1 && images.rank() == 4, "vqvae",
        "decodes the symbols of one level to images [N,H,W,C], got ", symbols.size(),
        " levels for ", images);
  const NoGradGuard no_grad;
  const Tensor q = quantizer().decode(symbols[0]);
  return decode(Variable(q.reshape({images[0], images[1] / 4, images[2] / 4, latent()}))).value();
}

VqVaeOutput VqVae::operator()(const Tensor& images, int64_t number) const {
  VqVaeOutput out;
  out.reconstruction = decode(quantize(0, encode(images), number, out));
  return out;
}

}  // namespace versor
