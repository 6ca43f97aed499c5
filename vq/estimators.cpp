// Gradient estimators as differentiable functions: see estimators.h.
#include "vq/estimators.h"

#include <cmath>
#include <iterator>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/ops.h"

namespace versor {
namespace {
constexpr const char* kNames[] = {
    "ste", "rotation", "reflection", "published", "rotation_unscaled", "gumbel", "diveq"};
}

const char* estimator_name(Estimator estimator) {
  return kNames[static_cast<int>(estimator)];
}

Estimator parse_estimator(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Estimator>(i);
  fail("estimator", "unknown estimator \"", name,
       "\"; expected ste, rotation, reflection, published, rotation_unscaled, gumbel or diveq");
}

void check_estimator(const EstimatorOptions& o) {
  const char* name = estimator_name(o.estimator);
  check(o.temperature >= 0 && std::isfinite(o.temperature), "estimator", "temperature ",
        o.temperature, " is not a number >= 0");
  check(o.noise_variance >= 0 && std::isfinite(o.noise_variance), "estimator", "noise variance ",
        o.noise_variance, " is not a number >= 0");
  check(o.estimator != Estimator::gumbel || o.temperature > 0, "estimator",
        "gumbel draws codes and needs a temperature above 0");
  check(o.temperature == 0 || o.estimator == Estimator::ste || o.estimator == Estimator::gumbel,
        "estimator", name, " does not go with drawn codes (temperature ", o.temperature,
        "): a drawn code may lie anywhere, so that the angle and the ratio of lengths that ", name,
        " is made of are noise, and training diverges; ste and gumbel do");
}

Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator) {
  const Tensor ve = e.value();
  const Tensor y = passes_code(estimator) ? q : vq::unscaled_value(ve, q, estimator);
  if (!bends_gradient(estimator))
    return record("quantize", y, {e}, [](const Tensor& dy) { return dy; });
  return record("quantize", y, {e},
                [=](Tensor dy) { return vq::estimator_grad(std::move(dy), ve, q, estimator); });
}

Variable code_logits(const Variable& e, const Variable& codes, double temperature) {
  const Variable half_squares = scale(sum_columns(square(codes)), -0.5f);
  return scale(linear(e, codes, half_squares), static_cast<float>(2 / temperature));
}

// -log(-log u): u = 0, which uniform() may give, becomes -inf, a code that is not drawn.
Variable with_gumbel_noise(const Variable& logits, Rng rng) {
  const Tensor& l = logits.value();
  const auto minus_log = [](const Tensor& x) {
    return ops::scaled(ops::unary(x, UnaryOp::log), -1.f);
  };
  const Tensor u = ops::uniform(l.shape(), rng, 0.f, 1.f, l.device());
  return add(logits, Variable(minus_log(minus_log(u))));
}

Variable gumbel_value(const Variable& y, const Variable& codes, const Tensor& q) {
  const Variable mixture = matmul(y, codes);
  return record("gumbel", q, {mixture}, [](const Tensor& dy) { return dy; });
}

Variable diveq_value(const Variable& e, const Variable& q, double noise_variance,
                     const Tensor& noise) {
  const Variable difference = sub(q, e);
  const Tensor noisy = ops::weighted_sum(1.f, difference.value(),
                                         static_cast<float>(std::sqrt(noise_variance)), noise);
  const Variable direction(normalize_rows(Variable(noisy)).value());
  // |q - e|, whose gradient at q = e is 0.
  const Variable length = sqrt(add_scalar(sum_columns(square(difference)), 1e-12f));
  return add(e, scale_rows(direction, length));
}

}  // namespace versor
