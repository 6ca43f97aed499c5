// Gradient estimators as differentiable functions: see estimators.h.
#include "vq/estimators.h"

#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "tensor/ops.h"
#include "vq/names.h"
#include "vq/ops.h"

namespace versor {
namespace {
constexpr int64_t kTile = int64_t{1} << 20;  // numbers: 4 MiB

// x [R,D] - centre [D], a constant.
Variable shifted(const Variable& x, const Tensor& centre) {
  return record("shifted", ops::binary_rows(x.value(), centre, BinaryOp::sub), {x},
                [](const Tensor& dy) { return dy; });
}

// What the decoder gets where that is not q.
Tensor turned_value(const Tensor& e, const Tensor& q, Estimator estimator, const Tensor& origin) {
  const Tensor y = vq::unscaled_value(about_origin(e, origin), about_origin(q, origin), estimator);
  return origin.defined() ? ops::binary_rows(y, origin, BinaryOp::add) : y;
}

}  // namespace

void check_estimator(const EstimatorOptions& o) {
  const char* name = name_of(o.estimator);
  check(o.temperature >= 0 && std::isfinite(o.temperature), "estimator", "temperature ",
        o.temperature, " is not a number >= 0");
  check(o.noise_deviation >= 0 && std::isfinite(o.noise_deviation), "estimator", "noise deviation ",
        o.noise_deviation, " is not a number >= 0");
  check(o.estimator != Estimator::gumbel || o.temperature > 0, "estimator",
        "gumbel draws codes and needs a temperature above 0");
  check(o.temperature == 0 || o.estimator == Estimator::ste || o.estimator == Estimator::gumbel,
        "estimator", name, " does not go with drawn codes (temperature ", o.temperature,
        "): a drawn code may lie anywhere, so that the angle and the ratio of lengths that ", name,
        " is made of are noise, and training diverges; ste and gumbel do");
  check(std::isfinite(static_cast<float>(o.origin.coordinate)), "estimator", "the origin ",
        o.origin.coordinate, " is not a finite number");
  check(o.origin.is_zero() || turns_about_origin(o.estimator), "estimator", name,
        " turns nothing and so has no origin; rotation, rotation_unscaled, reflection and "
        "published do");
}

Tensor origin_point(const RotationOrigin& origin, int64_t columns, Device device) {
  if (origin.is_zero()) return {};
  return ops::full({columns}, static_cast<float>(origin.coordinate), device);
}

Tensor about_origin(const Tensor& x, const Tensor& origin) {
  return origin.defined() ? ops::binary_rows(x, origin, BinaryOp::sub) : x;
}

Variable pass_through(const Variable& e, const Tensor& q, Estimator estimator,
                      const Tensor& origin) {
  const Tensor ve = e.value();
  const Tensor y = passes_code(estimator) ? q : turned_value(ve, q, estimator, origin);
  if (!bends_gradient(estimator))
    return record("quantize", y, {e}, [](const Tensor& dy) { return dy; });
  return record("quantize", y, {e}, [=](Tensor dy) {
    return vq::estimator_grad(std::move(dy), about_origin(ve, origin), about_origin(q, origin),
                              estimator);
  });
}

void for_row_tiles(int64_t R, int64_t K, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t rows = std::max<int64_t>(1, kTile / K);
  for (int64_t begin = 0; begin < R; begin += rows) work(begin, std::min(begin + rows, R));
}

Variable code_logits(const Variable& e, const Variable& codes, double temperature) {
  const auto inverse = static_cast<float>(1 / temperature);
  const float share = 1.f / static_cast<float>(codes.shape()[0]);
  const Tensor centre = ops::scaled(ops::sum_axis0(codes.value()), share);
  const Variable x = shifted(e, centre), c = shifted(codes, centre);
  return linear(x, scale(c, 2 * inverse), scale(sum_axis1(square(c)), -inverse));
}

Variable with_gumbel_noise(Variable logits, const Tensor& draw, Rng rng) {
  vq::add_noise(logits.mutable_value(), Noise::gumbel, 1.f, draw, rng);
  return logits;
}

// Works on a tile of rows at a time, because the logits would be the largest tensor of all.
Tensor drawn_code(const Tensor& e, const Tensor& codes, double temperature, const Tensor& draw,
                  Rng rng) {
  const int64_t R = e.dim(0), K = codes.dim(0);
  Tensor index({R}, DType::i32, e.device());
  for_row_tiles(R, K, [&](int64_t begin, int64_t end) {
    const Variable l = code_logits(Variable(e.rows(begin, end)), Variable(codes), temperature);
    Tensor drawn = index.rows(begin, end);
    const Rng later = rng.from(static_cast<uint64_t>(begin * K));
    ops::copy(drawn, ops::argmax(with_gumbel_noise(l, draw, later).value()));
  });
  return index;
}

// The gradient of the product v = y codes, whose value is not needed: dy = dv codes^T, dcodes =
// y^T dv.
Variable gumbel_value(const Variable& y, const Variable& codes, const Tensor& q) {
  const Tensor vy = y.value(), c = codes.value();
  return record("gumbel", q, {y, codes}, [=](const Tensor& dv, const Needed& needed) {
    return Gradients{needed[0] ? ops::matmul(dv, c, false, true) : Tensor(),
                     needed[1] ? ops::matmul(vy, dv, true, false) : Tensor()};
  });
}

Variable diveq_value(const Variable& e, const Variable& q, const Tensor& noisy) {
  const Variable difference = sub(q, e);
  const Variable direction(normalize_rows(Variable(noisy)).value());
  // |q - e|, whose gradient at q = e is 0.
  const Variable length = sqrt(add_scalar(sum_axis1(square(difference)), 1e-12f));
  return add(e, scale_rows(direction, length));
}

}  // namespace versor
