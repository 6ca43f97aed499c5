// Losses of quantizers: see losses.h.
#include "vq/losses.h"

#include <cmath>

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {
namespace {

Variable over_batch(const Variable& mean_of_part, BatchMeans* means) {
  return means ? (*means)(mean_of_part) : mean_of_part;
}

}  // namespace

// p log p is 0 at p = 0; the small summand keeps the logarithm finite there.
Variable entropy(const Variable& p) {
  return scale(sum_axis1(mul(p, log(add_scalar(p, 1e-30f)))), -1.f);
}

Variable mean_row(const Variable& p, BatchMeans* means) {
  const int64_t R = p.shape()[0];
  const Variable share(ops::full({1, R}, 1.f / static_cast<float>(R), p.value().device()));
  return over_batch(matmul(share, p), means);
}

Variable entropy_loss(const Variable& p, double gamma, BatchMeans* means) {
  return sub(mean(entropy(p)), scale(entropy(mean_row(p, means)), static_cast<float>(gamma)));
}

Variable entropy_loss(const Variable& u, const Variable& v, double gamma, BatchMeans* means) {
  const int64_t R = u.shape()[0], I = u.shape()[1], J = v.shape()[1];
  const float share = 1.f / static_cast<float>(R);
  const Variable all =
      over_batch(reshape(matmul(permute(scale(u, share), {1, 0}), v), {1, I * J}), means);
  return sub(add(mean(entropy(u)), mean(entropy(v))),
             scale(entropy(all), static_cast<float>(gamma)));
}

Variable diversity_loss(const Variable& p, BatchMeans* means) {
  const auto most = static_cast<float>(std::log(static_cast<double>(p.shape()[1])));
  return add_scalar(scale(entropy(mean_row(p, means)), -1.f), most);
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
