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
  const int64_t hidden = o.hidden, D = o.quantizer.codebook.latent;
  uint64_t layer = 0;
  int64_t in = o.image_channels;
  for (int64_t factor = 1; factor < o.downsampling; factor *= 2, layer += 2) {
    const int64_t out = factor == 1 ? hidden : D;
    encoder.add<Conv2d>(str(layer), stride_two(in, out, Activation::relu), rng.split(layer),
                        device);
    in = out;
  }
  for (const uint64_t end = layer + 2; layer < end; ++layer)
    encoder.add<ResidualBlock>(str(layer), D, D, rng.split(layer), device);
}

void add_decoder(Sequential& decoder, const VqVaeOptions& o, Rng rng, Device device) {
  const int64_t hidden = o.hidden, D = o.quantizer.codebook.latent;
  uint64_t layer = 0;
  for (; layer < 2; ++layer) decoder.add<ResidualBlock>(str(layer), D, D, rng.split(layer), device);
  int64_t in = D;
  for (int64_t factor = o.downsampling; factor > 1; factor /= 2, layer += 2) {
    const int64_t out = factor == 2 ? o.image_channels : factor == 4 ? hidden : D;
    const Activation activation = factor == 2 ? Activation::none : Activation::relu;
    decoder.add<ConvTranspose2d>(str(layer), stride_two(in, out, activation), rng.split(layer),
                                 device);
    in = out;
  }
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
  check_images("vqvae", images, options().downsampling);
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
  const Tensor codes = quantizer().decode(symbols[0]);
  return decode(latent_image(codes, images, options().downsampling)).value();
}

VqVaeOutput VqVae::operator()(const Tensor& images, const BatchShare& share) const {
  VqVaeOutput out;
  out.reconstruction = decode(quantize(0, encode(images), share, out));
  return out;
}

}  // namespace versor
