// The random numbers of the estimators that draw (estimators.h), defined one at a time and once for
// all devices; add_noise (backend.h) adds them to a tensor.
//
//   gumbel  -log(-log u), u uniform on [0,1); u = 0 can occur and gives -infinity
//   normal  mean 0, variance 1
//
// A quantizer counts its draws on the device, so that a step can be captured and replayed. The
// draw selects the stream, the position of an element the number in it. Read next: estimators.h.
#pragma once

#include <cmath>

#include "tensor/rng.h"

namespace versor {

enum class Noise { gumbel, normal };

// The stream of draw number `draw`, starting at rng.first.
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
