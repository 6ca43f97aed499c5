// VQ-VAE-2: see vqvae2.h.
#include "vq/vqvae2.h"

#include "autograd/functions.h"

namespace versor {
namespace {

// Every layer draws its initial weights from its own stream of random numbers.
enum Purpose : uint64_t {
  kEncoderBottom = 10,
  kEncoderTop,
  kDecoder = 20,
  kDecoderTop,
  kUpsampleTop,
  kCodebookTop = 30,
  kCodebookBottom,
  kJoinBottom = 40,
  kJoinDecoder
};

ConvOptions joining(int64_t channels) {
  return {2 * channels, channels, /*kernel=*/1};
}

// Concatenates the channels of a and b, both [N,h,w,D], to [N,h,w,2D] of the given type. This is
// done in f32, which leaves bf16 numbers unchanged.
Variable side_by_side(const Variable& a, const Variable& b, DType type) {
  const Variable joined = concat({rows(cast(a, DType::f32)), rows(cast(b, DType::f32))});
  const Shape s = a.shape();
  return cast(reshape(joined, {s[0], s[1], s[2], joined.shape()[1]}), type);
}

}  // namespace

VqVae2::VqVae2(const VqVaeOptions& of_model, Device device, Rng rng, QuantizerPointer own_top,
               QuantizerPointer own_bottom)
    : VqModel(of_model),
      join_bottom_(joining(latent()), rng.split(kJoinBottom), device),
      join_decoder_(joining(latent()), rng.split(kJoinDecoder), device),
      upsample_top_(stride_two(latent(), latent(), Activation::none), rng.split(kUpsampleTop),
                    device) {
  const QuantizerOptions& quantizer = options().quantizer;
  if (!own_top) own_top = make_quantizer(quantizer, rng.split(kCodebookTop), device);
  if (!own_bottom) own_bottom = make_quantizer(quantizer, rng.split(kCodebookBottom), device);
  const int64_t D = latent();
  const Rng e = rng.split(kEncoderTop), d = rng.split(kDecoderTop);
  add_encoder(encoder_bottom_, options(), rng.split(kEncoderBottom), device);
  encoder_top_.add<Conv2d>("0", stride_two(D, D, Activation::relu), e.split(0), device);
  encoder_top_.add<ResidualBlock>("2", D, D, e.split(2), device);
  decoder_top_.add<ResidualBlock>("0", D, D, d.split(0), device);
  decoder_top_.add<ConvTranspose2d>("1", stride_two(D, D, Activation::none), d.split(1), device);
  add_decoder(decoder_, options(), rng.split(kDecoder), device);
  register_module("encoder_bottom", encoder_bottom_);
  register_module("encoder_top", encoder_top_);
  register_module("decoder_top", decoder_top_);
  register_module("join_bottom", join_bottom_);
  register_module("upsample_top", upsample_top_);
  register_module("join_decoder", join_decoder_);
  register_module("decoder", decoder_);
  add_level("top", std::move(own_top));
  add_level("bottom", std::move(own_bottom));
}

Variable VqVae2::features_of(const Tensor& images) const {
  check_images("vqvae2", images, 2 * options().downsampling);
  return encoder_bottom_(cast(Variable(images), options().activations));
}

Variable VqVae2::top_latents(const Variable& features) const {
  return cast(encoder_top_(features), DType::f32);
}

Variable VqVae2::bottom_latents(const Variable& features, const Variable& top) const {
  const DType type = options().activations;
  const Variable decoded = decoder_top_(cast(top, type));
  return cast(join_bottom_(side_by_side(features, decoded, type)), DType::f32);
}

Variable VqVae2::decode(const Variable& top, const Variable& bottom) const {
  const DType type = options().activations;
  const Variable large = upsample_top_(cast(top, type));
  const Variable y = decoder_(join_decoder_(side_by_side(bottom, large, type)));
  return tanh(cast(y, DType::f32));  // in f32: see VqVae::decode
}

Variable VqVae2::latents_of(size_t level, const Tensor& images) const {
  const Variable features = features_of(images), latents = top_latents(features);
  if (level == kTop) return latents;
  const Variable top = quantizer_of(kTop)(rows(latents), /*training=*/false).value;
  return bottom_latents(features, reshape(top, latents.shape()));
}

Tensor VqVae2::decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const {
  check(symbols.size() == 2 && images.rank() == 4, "vqvae2",
        "decodes the symbols of two levels to images [N,H,W,C], got ", symbols.size(),
        " levels for ", images);
  const NoGradGuard no_grad;
  const int64_t factor = options().downsampling;
  const auto values = [&](Levels level, int64_t of_level) {
    return latent_image(quantizer_of(level).decode(symbols[level]), images, of_level);
  };
  return decode(values(kTop, 2 * factor), values(kBottom, factor)).value();
}

VqVaeOutput VqVae2::operator()(const Tensor& images, const BatchShare& share) const {
  VqVaeOutput out;
  const Variable features = features_of(images);
  const Variable top = quantize(kTop, top_latents(features), share, out);
  const Variable bottom = quantize(kBottom, bottom_latents(features, top), share, out);
  out.reconstruction = decode(top, bottom);
  return out;
}

}  // namespace versor
