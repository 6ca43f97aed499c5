// Quantization to signs: see lfq.h.
#include "vq/lfq.h"

#include <cmath>

#include "autograd/functions.h"
#include "vq/losses.h"
#include "vq/ops.h"

namespace versor {
namespace {

// [2^d,d]: row k is +length where the bits of k, highest first, are 1, and -length elsewhere.
Tensor corners_of_cube(int64_t d, float length, Device device) {
  const int64_t K = int64_t{1} << d;
  std::vector<float> corners;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t i = d - 1; i >= 0; --i) corners.push_back((k >> i) % 2 == 1 ? length : -length);
  return Tensor::from(corners, {K, d}, device);
}

}  // namespace

SignQuantizer::SignQuantizer(const SignOptions& options, const EstimatorOptions& estimator, Rng rng,
                             Device device)
    : LookupQuantizer(estimator, rng, device), options_(options) {
  const int64_t d = options.bits;
  check(d >= 1 && d <= 16, "lfq", "needs 1 to 16 bits, got ", d);
  check(options.temperature > 0 && options.entropy_weight >= 0 && options.gamma >= 0, "lfq",
        "the temperature must be above 0, the weights at least 0");
  const float length =
      options.spherical ? static_cast<float>(1 / std::sqrt(static_cast<double>(d))) : 1.f;
  corners_ = corners_of_cube(d, length, device);
  if (d > 1) first_ = corners_of_cube(d / 2, length, device);
  second_ = corners_of_cube(d - d / 2, length, device);
}

// The soft assignment of a row is independent in every dimension, so p is a product; here it has
// two factors, one for each half of the dimensions.
Variable SignQuantizer::entropy_term(const Variable& z, BatchMeans* means) const {
  const int64_t d = options_.bits, half = d / 2;
  const auto p = [&](int64_t begin, int64_t end, const Tensor& corners) {
    return softmax(code_logits(slice(z, begin, end), Variable(corners), options_.temperature));
  };
  const Variable v = p(half, d, second_);
  return d == 1 ? entropy_loss(v, options_.gamma, means)
                : entropy_loss(p(0, half, first_), v, options_.gamma, means);
}

Tensor SignQuantizer::nearest(const Tensor& z, const Tensor&) const {
  return vq::sign_code(z);
}

Quantized SignQuantizer::operator()(const Variable& e, ForwardPass pass) const {
  const Variable z = options_.spherical ? normalize_rows(e) : e;
  const Variable corners(corners_);
  Quantized out = look_up(z, corners, pass);
  out.codebook_loss = {};
  if (options_.spherical) out.commitment_loss = {};
  if (pass.training && options_.entropy_weight > 0)
    out.auxiliary_loss =
        scale(entropy_term(z, pass.means), static_cast<float>(options_.entropy_weight));
  return out;
}

}  // namespace versor
