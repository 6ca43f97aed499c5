// The VQ-VAE: see vqvae.h.
#include "vq/vqvae.h"

#include "autograd/functions.h"

namespace versor {
namespace {

// Every layer draws its initial weights from its own stream of random numbers.
enum Purpose : uint64_t { kEncoder = 10, kDecoder = 20, kCodebook = 30 };

}  // namespace

VqVae::VqVae(const VqVaeOptions& of_model, Device device, Rng rng, QuantizerPointer own)
    : VqModel(of_model) {
  if (!own) own = make_quantizer(options().quantizer, rng.split(kCodebook), device);
  add_encoder(encoder_, rng.split(kEncoder), device);
  add_decoder(decoder_, rng.split(kDecoder), device);
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
