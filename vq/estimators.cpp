// Gradient estimators as differentiable functions: see estimators.h.
#include "vq/estimators.h"

#include <iterator>

#include "vq/ops.h"

namespace versor {
namespace {
constexpr const char* kNames[] = {"ste", "rotation", "reflection", "published",
                                  "rotation_unscaled"};
}

const char* estimator_name(Estimator estimator) {
  return kNames[static_cast<int>(estimator)];
}

Estimator parse_estimator(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Estimator>(i);
  fail("estimator", "unknown estimator \"", name,
       "\"; expected ste, rotation, reflection, published or rotation_unscaled");
}

Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator) {
  const Tensor ve = e.value();
  const Tensor y = passes_code(estimator) ? q : vq::unscaled_value(ve, q, estimator);
  if (estimator == Estimator::ste || estimator == Estimator::published)
    return record("quantize", y, {e}, [](const Tensor& dy) { return dy; });
  return record("quantize", y, {e},
                [=](Tensor dy) { return vq::estimator_grad(std::move(dy), ve, q, estimator); });
}

}  // namespace versor
