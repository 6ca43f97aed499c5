// The network of a diffusion on latents: a transformer whose sequence are the h x w places of a
// latent image, conditioned on the time and the class (Peebles and Xie 2023). The latents are the
// quantizer's input z_e, so the quantizer belongs to the decoder, as in Rombach et al. 2022
// (section 3.1, "VQ-reg."). It is what the encoder makes of an image, a point in space that noise
// can be added to; after quantization it would be one of K points. And whatever the sampler ends
// with becomes codes, on which the decoder was trained. Names of the tensors, W the width:
//   mean, deviation      [D]             buffers, which standardize the latents
//   input.weight, bias   [W,D], [W]
//   positions            [T,W]           added to the input; T = h w
//   time.0, time.2       Linear W -> W, with a SiLU between them, of the time's sines and cosines
//   classes.weight       [classes+1,W]   added to the time's; the last row for no class
//   blocks.I             TransformerBlock of nn/transformer.h, conditioned
//   norm.weight, bias    [W]      LayerNorm of the last block's output
//   output.weight        [D,W] or, with learned variances, [2D,W]; bias
#pragma once

#include <deque>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "experiments/generate/diffusion.h"
#include "nn/transformer.h"
#include "vq/model.h"

namespace versor {

struct DenoiserOptions {
  Shape latents = {1, 1, 1};  // [h,w,D] of an image
  int64_t layers = 4, width = 128, heads = 4;
  int64_t classes = 0;  // that it can be conditioned on
  DiffusionOptions diffusion = {};
};

class Denoiser final : public Module {
 public:
  Denoiser(const DenoiserOptions& options, Rng rng, Device device);

  const DenoiserOptions& options() const { return options_; }
  const Diffusion& diffusion() const { return diffusion_; }
  int32_t no_class() const { return static_cast<int32_t>(options_.classes); }  // as a label
  Device device() const { return positions_.value().device(); }

  // The output at standardized x_t [N,h,w,D], sample n at times[n] and with labels[n], 0 to
  // no_class(): [N,h,w,D] or, with learned variances, [N,h,w,2D].
  Variable operator()(const Tensor& x, const std::vector<double>& times,
                      const std::vector<int32_t>& labels) const;

  // Sets mean and deviation to those of latents [...,D].
  void standardize_by(const Tensor& latents);
  Tensor standardized(const Tensor& latents) const;
  Tensor latents_of(const Tensor& standardized) const;

 private:
  DenoiserOptions options_;
  Diffusion diffusion_;
  Variable mean_, deviation_, positions_, classes_;
  Linear input_, output_;
  Sequential time_;
  std::deque<TransformerBlock> blocks_;  // a deque, since modules stay where they are
  LayerNorm norm_;
};

// The losses of standardized x_0 [N,h,w,D]. The times lie evenly from a random one on (Kingma et
// al. 2021, "Variational Diffusion Models", appendix I.1): each is uniform by itself, and the mean
// varies less.
Diffusion::Loss denoising_loss(const Denoiser& network, const Tensor& x0,
                               const std::vector<int32_t>& labels, Rng rng);

// Samples latents [N,h,w,D], one for each label, in batches. Sample number n of a seed does not
// depend on the others, except in its last bits; `first` is the number of the first. With a
// guidance other than 0 the network must have been trained without classes, too. `watch` sees batch
// after batch, standardized.
Tensor sample_latents(const Denoiser& network, const std::vector<int32_t>& labels,
                      const DiffusionSampling& options, int64_t first = 0,
                      const WatchSampling& watch = {});

// The latents [N,h,w,D] that a model of one level quantizes, for images [N,H,W,C]; and the images
// of the given shape that it decodes latents to. Throw Error for a model of two levels.
Tensor encode_latents(const VqModel& model, const Tensor& images);
Tensor decode_latents(const VqModel& model, const Tensor& latents, const Shape& images);

// A trained denoiser (bin/diffusion): `path` is its folder or file. Throws Error naming the file if
// it is malformed.
struct LoadedDenoiser {
  std::unique_ptr<Denoiser> network;
  std::string first_stage;  // fingerprint_of_weights() of the model whose latents these are
};
LoadedDenoiser load_denoiser(const std::string& path, Device device);
nlohmann::ordered_json config_of(const DenoiserOptions& options);

}  // namespace versor
