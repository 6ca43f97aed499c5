// SimVQ: see simvq.h.
#include "vq/simvq.h"

#include <cmath>

#include "autograd/functions.h"
#include "nn/init.h"
#include "tensor/ops.h"

namespace versor {
namespace {

enum Purpose : uint64_t { kTable, kTransform, kDraws };

}  // namespace

SimVectorQuantizer::SimVectorQuantizer(int64_t codes, int64_t latent,
                                       const EstimatorOptions& estimator, Rng rng, Device device)
    : LookupQuantizer(estimator, rng.split(kDraws), device) {
  check(codes > 0 && latent > 0, "simvq", "codes and latent size must be positive, got ", codes,
        " and ", latent);
  const auto deviation = static_cast<float>(1 / std::sqrt(static_cast<double>(latent)));
  const Tensor normal = ops::normal({codes, latent}, rng.split(kTable), device);
  table_ = register_buffer("frozen", ops::scaled(normal, deviation));
  weight_ = register_parameter(
      "transform.weight", fan_in_uniform({latent, latent}, latent, rng.split(kTransform), device));
}

Variable SimVectorQuantizer::codes() const {
  return linear(table_, weight_, Variable());
}

Quantized SimVectorQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  return look_up(e, codes(), pass);
}

Tensor SimVectorQuantizer::decode(const Tensor& index) const {
  const NoGradGuard no_grad;
  return decode_symbol("simvq", codes().value(), index);
}

}  // namespace versor
