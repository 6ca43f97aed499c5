// Sampled images: see image_sampler.h.
#include "experiments/generate/image_sampler.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/generate/network_trainer.h"
#include "experiments/run/model_use.h"
#include "experiments/study/coding.h"
#include "tensor/ops.h"

namespace versor {

ImageSampler::ImageSampler(const std::string& from, const LoadedModel& first_stage)
    : first_stage_(first_stage) {
  const Device device = first_stage.options.device;
  const bool prior = network_config(from).value("task", nlohmann::ordered_json()) == "prior";
  if (prior)
    prior_ = load_prior(from, device, first_stage.path);
  else
    diffusion_ = load_denoiser(from, device);
  check(prior || diffusion_.first_stage == fingerprint_of_weights(first_stage.path), "sample", from,
        " was trained on another model than ", first_stage.path);
}

int64_t ImageSampler::classes() const {
  return is_prior() ? prior_.prior->no_class() : diffusion_.network->options().classes;
}

std::vector<Tensor> ImageSampler::symbols(const std::vector<int32_t>& labels,
                                          const SamplingOptions& options) const {
  return prior_.prior->sequence().unflatten(sample(*prior_.prior, labels, options));
}

Tensor ImageSampler::images(const std::vector<int32_t>& labels,
                            const ImageSampling& sampling) const {
  if (!is_prior()) return decoded(sample_latents(*diffusion_.network, labels, sampling.latents));
  const std::vector<Tensor> all = symbols(labels, sampling.symbols);
  const Shape shape = images_of_symbols(*first_stage_.model, all);
  Tensor images(shape);
  decode_images(*first_stage_.model, all, batch_for(first_stage_, shape[1], shape[2]),
                first_stage_.options.device, into(images));
  return images;
}

Tensor ImageSampler::decoded(const Tensor& latents) const {
  const VqModel& model = *first_stage_.model;
  const int64_t N = latents.dim(0), pixels = model.pixels_per_latent(0);
  const int64_t H = latents.dim(1) * pixels, W = latents.dim(2) * pixels,
                C = model.options().image_channels;
  const int64_t batch = batch_for(first_stage_, H, W);
  Tensor images({N, H, W, C});
  for (int64_t begin = 0; begin < N; begin += batch) {
    const int64_t end = std::min(begin + batch, N);
    Tensor here = images.rows(begin, end);
    ops::copy(here, decode_latents(model, latents.rows(begin, end), here.shape()).to({}));
  }
  return images;
}

}  // namespace versor
