// The two-level hierarchy of VQ-VAE-2 (Razavi, van den Oord, Vinyals, "Generating Diverse
// High-Fidelity Images with VQ-VAE-2", 2019, section 3.1 and algorithm 1): top symbols for the
// global structure, bottom symbols for the details, given the top.
//   encoder_bottom  images -> h/f: the encoder of VqVae
//   encoder_top     h/f -> h/2f: conv 4x4 s2 (D -> D), ReLU, a residual block
//   top             quantizes encoder_top's output, [N,H/2f,W/2f,D]
//   decoder_top     h/2f -> h/f: a residual block, transposed conv 4x4 s2 (D -> D), of top values
//   join_bottom     conv 1x1 (2D -> D) of [encoder_bottom's output, decoder_top's output]
//   bottom          quantizes join_bottom's output, [N,H/f,W/f,D]
//   upsample_top    h/2f -> h/f: transposed conv 4x4 s2 (D -> D), of the top values
//   join_decoder    conv 1x1 (2D -> D) of [bottom values, upsample_top's output]
//   decoder         h/f -> images: the decoder of VqVae, tanh
// Here f is the downsampling of the options. As in the paper with f = 4: levels at 1/4 and 1/8 of
// the image; the top is quantized first, and its values are decoded before they are joined with the
// bottom's features; the decoder sees the values of both levels; each level has a codebook.
// Different: encoder_top and decoder_top have one residual block each, of D channels; encoder_top's
// output is quantized without a 1x1 convolution before, as in VqVae; join_decoder allows VqVae's
// decoder to follow; the loss, to which both levels contribute equally, the learning of the
// codebooks and Adam are those of VqVae. Images of 32x32 have 16 + 64 symbols; the paper's images
// have 256x256 pixels.
#pragma once

#include "vq/vqvae.h"

namespace versor {

class VqVae2 final : public VqModel {
 public:
  // `own_top` and `own_bottom`, if given, replace the quantizers that the options describe; their
  // rows have D columns.
  VqVae2(const VqVaeOptions& options, Device device, Rng rng, QuantizerPointer own_top = {},
         QuantizerPointer own_bottom = {});

  // images [N,H,W,C], H and W multiples of 2f. The levels are the top one, then the bottom one.
  VqVaeOutput operator()(const Tensor& images, const BatchShare& share = {}) const override;
  Variable latents_of(size_t level, const Tensor& images) const override;
  Tensor decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const override;

 private:
  enum Levels : size_t { kTop, kBottom };

  // Latents and values are f32; everything between them has the type of the activations.
  Variable features_of(const Tensor& images) const;      // [N,H/f,W/f,D]
  Variable top_latents(const Variable& features) const;  // [N,H/2f,W/2f,D]
  Variable bottom_latents(const Variable& features, const Variable& top) const;
  Variable decode(const Variable& top, const Variable& bottom) const;  // values -> images

  Sequential encoder_bottom_, encoder_top_, decoder_top_, decoder_;
  Conv2d join_bottom_, join_decoder_;
  ConvTranspose2d upsample_top_;
};

}  // namespace versor
