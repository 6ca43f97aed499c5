// The VQ-VAE of the paper (sections 2.1 to 2.3), with the sizes of the published runs. Tensors have
// the names of the PyTorch twin, so that weights can be loaded in either direction.
//   encoder  conv 4x4 s2 (C -> D/2), ReLU, conv 4x4 s2 (D/2 -> D), ReLU, two residual blocks
//   decoder  two residual blocks, transposed conv 4x4 s2 (D -> D/2), ReLU, and (D/2 -> C), tanh
// The published code has none of the pooling layers that the paper's text mentions.
//
// A latent covers 4 x 4 pixels. For larger images (VqVaeOptions::downsampling 8 or 16) one or two
// more convolutions of stride 2 (D -> D, ReLU) come before the encoder's blocks, and as many
// transposed ones after the decoder's. Names are those of an nn.Sequential, which numbers ReLUs
// too:
//   downsampling         4                8                  16
//   encoder  C -> D/2    0                0                  0
//            D/2 -> D    2                2                  2
//            D -> D      -                4                  4, 6
//            blocks      4, 5             6, 7               8, 9
//   decoder  blocks      0, 1             0, 1               0, 1
//            D -> D      -                2                  2, 4
//            D -> D/2    2                4                  6
//            D/2 -> C    4                6                  8
#pragma once

#include "nn/layers.h"
#include "vq/model.h"

namespace versor {

// The layers between images and latents, which VQ-VAE-2 has too (vqvae2.h). The decoder's output
// has not been through the tanh yet. Each layer draws its initial weights from a stream of its own.
void add_encoder(Sequential& encoder, const VqVaeOptions& options, Rng rng, Device device);
void add_decoder(Sequential& decoder, const VqVaeOptions& options, Rng rng, Device device);
// Options of a 4x4 convolution, plain or transposed, that halves or doubles height and width.
ConvOptions stride_two(int64_t in, int64_t out, Activation activation);

class VqVae final : public VqModel {
 public:
  // `own`, if given, replaces the quantizer that the options describe; its rows have D columns.
  VqVae(const VqVaeOptions& options, Device device, Rng rng, QuantizerPointer own = {});

  // images [N,H,W,C], H and W multiples of the downsampling f.
  VqVaeOutput operator()(const Tensor& images, const BatchShare& share = {}) const override;
  Variable encode(const Tensor& images) const;     // [N,H/f,W/f,D]
  Variable decode(const Variable& latents) const;  // [N,h,w,D] -> [N,fh,fw,C]
  Variable latents_of(size_t, const Tensor& images) const override { return encode(images); }
  Tensor decode_symbols(const std::vector<Tensor>& symbols, const Shape& images) const override;

  Quantizer& quantizer() const { return quantizer_of(0); }

 private:
  Sequential encoder_, decoder_;
};

}  // namespace versor
