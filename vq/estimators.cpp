// Gradient estimators as differentiable functions: see estimators.h.
#include "vq/estimators.h"

#include <iterator>

#include "vq/ops.h"

namespace versor {
namespace {
constexpr const char* kNames[] = {"ste", "rotation", "reflection", "published"};
}

const char* estimator_name(Estimator estimator) {
  return kNames[static_cast<int>(estimator)];
}

Estimator parse_estimator(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Estimator>(i);
  fail("estimator", "unknown estimator \"", name,
       "\"; expected ste, rotation, reflection or published");
}

Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator) {
  const Tensor ve = e.value();
  if (estimator == Estimator::rotation || estimator == Estimator::reflection) {
    return record("quantize", q, {e},
                  [=](const Tensor& dy) { return vq::estimator_grad(dy, ve, q, estimator); });
  }
  const Tensor y = estimator == Estimator::published ? vq::published_value(ve, q) : q;
  return record("quantize", y, {e}, [](const Tensor& dy) { return dy; });
}

}  // namespace versor
