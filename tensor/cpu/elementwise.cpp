// Element-wise primitives on the CPU: loops around the formulas of tensor/elementwise.h.
#include "tensor/elementwise.h"

#include "tensor/cpu/backend.h"
#include "tensor/cpu/parallel.h"

namespace versor {
namespace {

// Calls f with the operation as a compile-time constant, so that the loop inside f is vectorised
// for that one operation.
template <UnaryOp op>
using UnaryConstant = std::integral_constant<UnaryOp, op>;
template <BinaryOp op>
using BinaryConstant = std::integral_constant<BinaryOp, op>;

template <class F>
void with_constant(UnaryOp op, const F& f) {
  switch (op) {
    case UnaryOp::relu:
      return f(UnaryConstant<UnaryOp::relu>{});
    case UnaryOp::tanh:
      return f(UnaryConstant<UnaryOp::tanh>{});
    case UnaryOp::exp:
      return f(UnaryConstant<UnaryOp::exp>{});
    case UnaryOp::log:
      return f(UnaryConstant<UnaryOp::log>{});
    case UnaryOp::sqrt:
      return f(UnaryConstant<UnaryOp::sqrt>{});
    case UnaryOp::square:
      return f(UnaryConstant<UnaryOp::square>{});
  }
}

template <class F>
void with_constant(BinaryOp op, const F& f) {
  switch (op) {
    case BinaryOp::add:
      return f(BinaryConstant<BinaryOp::add>{});
    case BinaryOp::sub:
      return f(BinaryConstant<BinaryOp::sub>{});
    case BinaryOp::mul:
      return f(BinaryConstant<BinaryOp::mul>{});
    case BinaryOp::div:
      return f(BinaryConstant<BinaryOp::div>{});
    case BinaryOp::add_relu:
      return f(BinaryConstant<BinaryOp::add_relu>{});
  }
}

// y[i] = f(i) over all elements.
template <class F>
void for_each_element(Tensor& y, const F& f) {
  float* out = y.data<float>();
  cpu::parallel_blocks(y.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = f(i);
  });
}

}  // namespace

void CpuBackend::unary(Tensor& y, const Tensor& x, UnaryOp op) {
  const float* in = x.data<float>();
  with_constant(op, [&](auto constant) {
    for_each_element(y, [=](int64_t i) { return apply(constant(), in[i]); });
  });
}

void CpuBackend::unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) {
  const float *g = dy.data<float>(), *s = saved.data<float>();
  with_constant(op, [&](auto constant) {
    for_each_element(dx, [=](int64_t i) { return g[i] * derivative(constant(), s[i]); });
  });
}

void CpuBackend::binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  with_constant(op, [&](auto constant) {
    for_each_element(y, [=](int64_t i) { return apply(constant(), pa[i], pb[i]); });
  });
}

void CpuBackend::binary_rows(Tensor& y, const Tensor& x, const Tensor& v, BinaryOp op) {
  const int64_t columns = x.dim(1);
  const float *px = x.data<float>(), *pv = v.data<float>();
  float* out = y.data<float>();
  with_constant(op, [&](auto constant) {
    cpu::parallel_blocks(
        x.dim(0),
        [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r)
            for (int64_t c = 0; c < columns; ++c)
              out[r * columns + c] = apply(constant(), px[r * columns + c], pv[c]);
        },
        cpu::rows_per_block(columns));
  });
}

void CpuBackend::weighted_sum(Tensor& y, float alpha, const Tensor& a, float beta,
                              const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  for_each_element(y, [=](int64_t i) { return alpha * pa[i] + beta * pb[i]; });
}

void CpuBackend::scale(Tensor& y, const Tensor& x, const Tensor& s, float factor) {
  const float* in = x.data<float>();
  const float by = s.data<float>()[0] * factor;
  for_each_element(y, [=](int64_t i) { return in[i] * by; });
}

void CpuBackend::broadcast(Tensor& y, const Tensor& s, float factor) {
  fill(y, s.data<float>()[0] * factor);
}

void CpuBackend::mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const float by =
      static_cast<float>(2.0 * static_cast<double>(dy.data<float>()[0]) / double(a.numel()));
  for_each_element(da, [=](int64_t i) { return by * (pa[i] - pb[i]); });
}

void CpuBackend::adam(Tensor& weight, Tensor& m, Tensor& v, const Tensor& grad, const Tensor& step,
                      const AdamParams& params) {
  float *w = weight.data<float>(), *pm = m.data<float>(), *pv = v.data<float>();
  const float* g = grad.data<float>();
  const AdamFactors factors = adam_factors(params, step.data<int32_t>()[0]);
  cpu::parallel_blocks(weight.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) adam_update(w[i], pm[i], pv[i], g[i], params, factors);
  });
}

}  // namespace versor
