// Searches for better codes than the encoder's: gradient descent on the latents through the frozen
// decoder, image by image, as far as the picture is concerned. Network, decoder and bits stay the
// same; only the rule by which an image is encoded changes: the codes are no longer those nearest
// to the encoder's latents. Errors of searched codes belong beside those of one pass, not in their
// place.
#pragma once

#include "vq/vqvae.h"

namespace versor {

struct RefineOptions {
  int64_t steps = 60;
  // Adam's, as a multiple of the root mean square of the batch's latents; falls to 0 as half a
  // cosine.
  double lr = 0.04;
  // Weight of the commitment loss. It holds the latents near their codes, so that a gradient says
  // what another code nearby would change. Without it they drift to where no code is; too strong,
  // it pulls each latent back before it reaches another code, and no code changes.
  double commitment = 0.25;
};

struct RefinedCodes {
  Tensor symbols;         // i32 [L,R], on the device of the images
  Tensor reconstruction;  // [N,H,W,C]: what the symbols decode to
  // Mean squared error of each image, with the codes of one pass and with those found.
  std::vector<double> one_pass_error, error;
  int64_t changed = 0;  // symbols that differ from those of one pass
};

// Minimises, for each image x by itself and by Adam from z = encode(x) on,
//   mse(decode(Q(z)), x) + commitment * the quantizer's commitment loss,
// where Q passes gradients on as its estimator does. After each step the codes of Q(z) are
// candidates; each image keeps the best it has met. Those of one pass are the first candidate, so
// that no image gets worse. The model's parameters do not change and get no gradients.
// Throws Error if the model is in training, if its decoder sees more than codes (the estimators
// `published` and `rotation_unscaled`), or for a setting outside its range.
RefinedCodes refine_codes(const VqVae& model, const Tensor& images, const RefineOptions& options);

}  // namespace versor
