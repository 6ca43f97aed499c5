// A quantizer between two projections: see projected.h.
#include "vq/projected.h"

#include "autograd/functions.h"
#include "nn/init.h"

namespace versor {

ProjectedQuantizer::ProjectedQuantizer(int64_t latent, int64_t inner_latent, QuantizerPointer inner,
                                       Rng rng, Device device)
    : inner_(std::move(inner)) {
  check(latent > 0 && inner_latent > 0, "projected", "both sizes must be positive, got ", latent,
        " and ", inner_latent);
  const auto parameter = [&](const char* name, Shape shape, int64_t fan_in, uint64_t stream) {
    return register_parameter(name, fan_in_uniform(shape, fan_in, rng.split(stream), device));
  };
  in_weight_ = parameter("project_in.weight", {inner_latent, latent}, latent, 0);
  in_bias_ = parameter("project_in.bias", {inner_latent}, latent, 1);
  out_weight_ = parameter("project_out.weight", {latent, inner_latent}, inner_latent, 2);
  out_bias_ = parameter("project_out.bias", {latent}, inner_latent, 3);
  register_module("", *inner_);
}

Variable ProjectedQuantizer::in(const Variable& e) const {
  return linear(e, in_weight_, in_bias_);
}

Variable ProjectedQuantizer::out(const Variable& q) const {
  return linear(q, out_weight_, out_bias_);
}

Quantized ProjectedQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  Quantized result = (*inner_)(in(e), pass);
  result.value = out(result.value);
  return result;
}

Tensor ProjectedQuantizer::decode(const Tensor& index) const {
  const NoGradGuard no_grad;
  return out(Variable(inner_->decode(index))).value();
}

void ProjectedQuantizer::start_from(const Tensor& latents) {
  const NoGradGuard no_grad;
  inner_->start_from(in(Variable(latents)).value());
}

}  // namespace versor
