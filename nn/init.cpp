// Initial values: see init.h.
#include "nn/init.h"

#include <cmath>

#include "tensor/ops.h"

namespace versor {

int64_t fan_in(const Shape& weight) {
  check(weight.rank() >= 2 && weight[0] > 0, "init", "a weight needs at least two axes, got ",
        weight);
  return weight.numel() / weight[0];
}

Tensor fan_in_uniform(Shape shape, int64_t fan_in, Rng rng, Device device) {
  const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(fan_in)));
  return ops::uniform(shape, rng, -bound, bound, device);
}

}  // namespace versor
