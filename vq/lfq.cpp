// Quantization to signs: see lfq.h.
#include "vq/lfq.h"

#include <cmath>

#include "autograd/functions.h"
#include "vq/losses.h"

namespace versor {

SignQuantizer::SignQuantizer(const SignOptions& options, const EstimatorOptions& estimator, Rng rng,
                             Device device)
    : LookupQuantizer(estimator, rng, device), options_(options) {
  const int64_t d = options.bits;
  check(d >= 1 && d <= 16, "lfq", "needs 1 to 16 bits, got ", d);
  check(options.temperature > 0 && options.entropy_weight >= 0 && options.gamma >= 0, "lfq",
        "the temperature must be above 0, the weights at least 0");
  const int64_t K = int64_t{1} << d;
  const float length =
      options.spherical ? static_cast<float>(1 / std::sqrt(static_cast<double>(d))) : 1.f;
  std::vector<float> corners;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t i = d - 1; i >= 0; --i) corners.push_back((k >> i) % 2 == 1 ? length : -length);
  corners_ = Tensor::from(corners, {K, d}, device);
}

Quantized SignQuantizer::operator()(const Variable& e, bool training, const Tensor&) {
  const Variable z = options_.spherical ? normalize_rows(e) : e;
  const Variable corners(corners_);
  Quantized out = look_up(z, corners, training);
  out.codebook_loss = {};
  if (options_.spherical) out.commitment_loss = {};
  if (training && options_.entropy_weight > 0)
    out.auxiliary_loss =
        scale(entropy_loss(softmax(code_logits(z, corners, options_.temperature)), options_.gamma),
              static_cast<float>(options_.entropy_weight));
  return out;
}

}  // namespace versor
