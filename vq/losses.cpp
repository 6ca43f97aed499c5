// Losses of quantizers: see losses.h.
#include "vq/losses.h"

#include <cmath>

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// p log p is 0 at p = 0; the small summand keeps the logarithm finite there.
Variable entropy(const Variable& p) {
  return scale(sum_axis1(mul(p, log(add_scalar(p, 1e-30f)))), -1.f);
}

Variable mean_row(const Variable& p) {
  const int64_t R = p.shape()[0];
  const Variable share(ops::full({1, R}, 1.f / static_cast<float>(R), p.value().device()));
  return matmul(share, p);
}

Variable entropy_loss(const Variable& p, double gamma) {
  return sub(mean(entropy(p)), scale(entropy(mean_row(p)), static_cast<float>(gamma)));
}

Variable entropy_loss(const Variable& u, const Variable& v, double gamma) {
  const int64_t R = u.shape()[0], I = u.shape()[1], J = v.shape()[1];
  const float share = 1.f / static_cast<float>(R);
  const Variable all = reshape(matmul(permute(scale(u, share), {1, 0}), v), {1, I * J});
  return sub(add(mean(entropy(u)), mean(entropy(v))),
             scale(entropy(all), static_cast<float>(gamma)));
}

Variable diversity_loss(const Variable& p) {
  const auto most = static_cast<float>(std::log(static_cast<double>(p.shape()[1])));
  return add_scalar(scale(entropy(mean_row(p)), -1.f), most);
}

Variable orthogonality_loss(const Variable& codes) {
  const int64_t K = codes.shape()[0], D = codes.shape()[1];
  const Variable unit = normalize_rows(codes);
  const Variable products =
      K <= D ? linear(unit, unit, Variable()) : matmul(permute(unit, {1, 0}), unit);
  const float share = 1.f / static_cast<float>(K);
  return add_scalar(scale(sum(square(products)), share * share), -share);
}

Variable add_terms(const Variable& a, const Variable& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  return add(a, b);
}

}  // namespace versor
