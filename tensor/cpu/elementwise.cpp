// Element-wise primitives on the CPU: loops around the formulas of tensor/elementwise.h.
#include "tensor/elementwise.h"

#include <tuple>
#include <utility>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/element_type.h"
#include "tensor/cpu/matmul.h"
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

// y[i] = f(i) over all elements, f32 or rounded to bf16.
template <class T, class F>
void for_each_element(Tensor& y, const F& f) {
  T* out = y.data<T>();
  cpu::parallel_blocks(y.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<T>(f(i));
  });
}

template <class T>
using Element = std::remove_pointer_t<T>;

}  // namespace

void CpuBackend::unary(Tensor& y, const Tensor& x, UnaryOp op) {
  cpu::with_float_type(x, [&](auto* type) {
    using T = Element<decltype(type)>;
    const T* in = x.data<T>();
    with_constant(op, [&](auto constant) {
      for_each_element<T>(y, [=](int64_t i) { return apply(constant(), float(in[i])); });
    });
  });
}

void CpuBackend::unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) {
  cpu::with_float_type(dx, [&](auto* type) {
    using T = Element<decltype(type)>;
    const T *g = dy.data<T>(), *s = saved.data<T>();
    with_constant(op, [&](auto constant) {
      for_each_element<T>(
          dx, [=](int64_t i) { return apply_grad(constant(), float(g[i]), float(s[i])); });
    });
  });
}

void CpuBackend::binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  cpu::with_float_type(y, [&](auto* type) {
    using T = Element<decltype(type)>;
    const T *pa = a.data<T>(), *pb = b.data<T>();
    with_constant(op, [&](auto constant) {
      for_each_element<T>(y,
                          [=](int64_t i) { return apply(constant(), float(pa[i]), float(pb[i])); });
    });
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

void CpuBackend::scale_rows(Tensor& y, const Tensor& x, const Tensor& s) {
  const int64_t columns = x.dim(1);
  const float *px = x.data<float>(), *ps = s.data<float>();
  float* out = y.data<float>();
  cpu::parallel_blocks(
      x.dim(0),
      [=](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = ps[r] * px[r * columns + c];
      },
      cpu::rows_per_block(columns));
}

void cpu::apply_epilogue(Tensor& y, const Tensor& x, const Epilogue& epilogue) {
  const bool has_bias = epilogue.bias.defined(), relu = epilogue.relu;
  if (y.numel() == 0 || (!has_bias && !relu && y.address() == x.address())) return;
  const int64_t columns = y.dim(-1), rows = y.numel() / columns;
  const float *in = x.data<float>(), *b = has_bias ? epilogue.bias.data<float>() : nullptr;
  cpu::with_float_type(y, [&](auto* type) {
    using T = Element<decltype(type)>;
    T* out = y.data<T>();
    cpu::parallel_blocks(
        rows,
        [=](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r)
            for (int64_t c = 0; c < columns; ++c) {
              const float sum = in[r * columns + c] + (b ? b[c] : 0.f);
              out[r * columns + c] = static_cast<T>(relu ? rectified(sum) : sum);
            }
        },
        cpu::rows_per_block(columns));
  });
}

void CpuBackend::weighted_sum(Tensor& y, float alpha, const Tensor& a, float beta,
                              const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  for_each_element<float>(y, [=](int64_t i) { return alpha * pa[i] + beta * pb[i]; });
}

void CpuBackend::scale(Tensor& y, const Tensor& x, const Tensor& s, float factor) {
  const float* in = x.data<float>();
  const float by = s.data<float>()[0] * factor;
  for_each_element<float>(y, [=](int64_t i) { return in[i] * by; });
}

void CpuBackend::broadcast(Tensor& y, const Tensor& s, float factor) {
  fill(y, s.data<float>()[0] * factor);
}

void CpuBackend::mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const float by =
      static_cast<float>(2.0 * static_cast<double>(dy.data<float>()[0]) / double(a.numel()));
  for_each_element<float>(da, [=](int64_t i) { return by * (pa[i] - pb[i]); });
}

void CpuBackend::find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                                const Tensor& step) {
  int32_t* found = guard.data<int32_t>();
  const auto tag_of = [&](size_t j) { return first_tag + static_cast<int32_t>(j); };
  for (size_t j = 0; j < tensors.size(); ++j) {
    bool finite = true;
    cpu::with_float_type(tensors[j], [&](auto* type) {
      const auto* x = tensors[j].data<Element<decltype(type)>>();
      // NaN and infinity times 0 are NaN, and a sum keeps it.
      finite = cpu::parallel_sum(tensors[j].numel(), [=](int64_t begin, int64_t end) {
                 float sum = 0;
                 for (int64_t i = begin; i < end; ++i) sum += 0.f * float(x[i]);
                 return double{sum};
               }) == 0;
    });
    const auto now = std::pair(step.data<int32_t>()[0], tag_of(j));
    if (!finite && now < std::pair(found[1], found[0])) std::tie(found[1], found[0]) = now;
  }
}

}  // namespace versor
