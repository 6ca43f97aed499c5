// Scaled dot-product attention and its derivative (Vaswani et al. 2017, equation 1).
#include <cmath>

#include "autograd/functions.h"
#include "tensor/ops.h"

namespace versor {

// With q (times 1/sqrt(D)), k, v of one head, [T,D] each:  p = softmax(q k^T), y = p v;
// dv = p^T dy, ds = p (dy v^T - rowwise sum of p dy v^T), dq = ds k, dk = ds^T q.
// The heads of all sequences are one batch of products, [H,N,T,D].
Variable attention(const Variable& qkv, int64_t heads, bool causal) {
  const Tensor x = qkv.value();
  const Shape shape = x.shape();
  check(shape.rank() == 3 && heads > 0 && shape[2] % (3 * heads) == 0, "attention",
        "needs [N,T,3W] with W a multiple of the ", heads, " heads, got ", shape);
  const int64_t N = shape[0], T = shape[1], D = shape[2] / (3 * heads);
  const float scale = 1.f / std::sqrt(static_cast<float>(D));
  const Tensor all = ops::permute(x.reshape({N, T, 3 * heads, D}), {2, 0, 1, 3});
  const Tensor q = ops::scaled(all.rows(0, heads), scale), k = all.rows(heads, 2 * heads),
               v = all.rows(2 * heads, 3 * heads);
  const Tensor p = ops::softmax(ops::matmul(q, k, false, true), causal);
  const Tensor y = ops::permute(ops::matmul(p, v), {1, 2, 0, 3}).reshape({N, T, heads * D});
  return record("attention", y, {qkv}, [=](const Tensor& dy) {
    const Tensor d = ops::permute(dy.reshape({N, T, heads, D}), {2, 0, 1, 3});
    const Tensor ds = ops::softmax_grad(ops::matmul(d, v, false, true), p);
    const auto rows = [](const Tensor& t) { return t.flat_rows(); };
    const Tensor parts =
        ops::concat_rows({rows(ops::scaled(ops::matmul(ds, k), scale)),
                          rows(ops::matmul(ds, q, true)), rows(ops::matmul(p, d, true))});
    return ops::permute(parts.reshape({3 * heads, N, T, D}), {1, 2, 0, 3}).reshape(shape);
  });
}

}  // namespace versor
