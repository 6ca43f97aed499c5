// Images sampled from a trained prior or diffusion model, decoded by its first stage.
#pragma once

#include <optional>

#include "experiments/generate/denoiser.h"
#include "experiments/generate/prior.h"
#include "experiments/run/model_file.h"

namespace versor {

struct ImageSampling {
  SamplingOptions symbols;    // of a prior
  DiffusionSampling latents;  // of a diffusion model
};

class ImageSampler {
 public:
  // `from`: the folder or file of a run of bin/prior or bin/diffusion. Throws Error naming it if it
  // is neither, or was trained on another model than the first stage, which must outlive this.
  ImageSampler(const std::string& from, const LoadedModel& first_stage);

  bool is_prior() const { return prior_.prior != nullptr; }
  const Denoiser& denoiser() const { return *diffusion_.network; }
  int64_t classes() const;  // that it knows; as a label, this number stands for no class

  // One for each label, f32 [N,H,W,C] on the host.
  Tensor images(const std::vector<int32_t>& labels, const ImageSampling& sampling) const;
  // A prior's symbols, i32 [N,L,h,w] of each level.
  std::vector<Tensor> symbols(const std::vector<int32_t>& labels,
                              const SamplingOptions& options) const;
  // A diffusion model's latents [N,h,w,D] as images, on the host.
  Tensor decoded(const Tensor& latents) const;

 private:
  const LoadedModel& first_stage_;
  LoadedPrior prior_;
  LoadedDenoiser diffusion_;
};

}  // namespace versor
