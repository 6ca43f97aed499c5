// The noise of the estimators that draw (estimators.h), one number at a time: written once for all
// devices, whose add_noise (backend.h) adds it to a tensor.
//
//   gumbel  -log(-log u), u uniform on [0,1); the u = 0 that may come becomes -infinity
//   normal  of mean 0 and variance 1
//
// A quantizer counts its draws on the device, so that a step can be captured and replayed: the
// draw's number names the stream, the element's place the number in it. Read next: estimators.h.
#pragma once

#include <cmath>

#include "tensor/rng.h"

namespace versor {

enum class Noise { gumbel, normal };

// The stream of draw number `draw`, from where rng stands on.
VERSOR_HD inline Rng stream_of_draw(const Rng& rng, int32_t draw) {
  return rng.split(static_cast<uint64_t>(draw)).from(rng.first);
}

VERSOR_HD inline float gumbel_noise(float u) {
  return -std::log(-std::log(u));
}

VERSOR_HD inline float noise_at(Noise noise, const Rng& stream, int64_t i) {
  const auto at = static_cast<uint64_t>(i);
  return noise == Noise::normal ? stream.normal(at) : gumbel_noise(stream.uniform(at));
}

}  // namespace versor
