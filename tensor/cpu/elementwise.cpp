// Element-wise primitives on the CPU: loops around the formulas of tensor/elementwise.h.
#include "tensor/elementwise.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "tensor/cpu/backend.h"
#include "tensor/cpu/matmul.h"
#include "tensor/cpu/parallel.h"

namespace versor {
namespace {

// y[i] = f(in[i], ...) over all elements, in f32, rounded to T.
template <class T, class F, class... In>
void map(Tensor& y, const F& f, const In*... in) {
  T* out = y.data<T>();
  cpu::parallel_blocks(y.numel(), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<T>(f(static_cast<float>(in[i])...));
  });
}

// y[i] = F<op>(x[i], ...), all of y's element type. Type and operation are compile-time constants
// in the loop, so that it is vectorised.
template <template <auto> class F, class Op, class... Inputs>
void map_op(Tensor& y, Op op, const Inputs&... x) {
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    with_constant(op, [&](auto constant) { map<T>(y, F<constant()>(), x.template data<T>()...); });
  });
}

}  // namespace

void CpuBackend::unary(Tensor& y, const Tensor& x, UnaryOp op) {
  map_op<Value>(y, op, x);
}

void CpuBackend::unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) {
  map_op<Gradient>(dx, op, dy, saved);
}

void CpuBackend::binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  map_op<Value>(y, op, a, b);
}

void CpuBackend::binary_rows(Tensor& y, const Tensor& x, const Tensor& v, BinaryOp op) {
  const int64_t columns = x.dim(1);
  const float *px = x.data<float>(), *pv = v.data<float>();
  float* out = y.data<float>();
  with_constant(op, [&](auto constant) {
    cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
      for (int64_t c = 0; c < columns; ++c)
        out[r * columns + c] = Operation<constant()>::value(px[r * columns + c], pv[c]);
    });
  });
}

void CpuBackend::scale_rows(Tensor& y, const Tensor& x, const Tensor& s) {
  const int64_t columns = x.dim(1);
  const float *px = x.data<float>(), *ps = s.data<float>();
  float* out = y.data<float>();
  cpu::parallel_rows(x.dim(0), columns, [=](int64_t r) {
    for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = ps[r] * px[r * columns + c];
  });
}

void cpu::apply_epilogue(Tensor& y, const Tensor& x, const Epilogue& epilogue) {
  const bool has_bias = epilogue.bias.defined(), relu = epilogue.relu;
  if (y.numel() == 0 || (!has_bias && !relu && y.address() == x.address())) return;
  const int64_t columns = y.dim(-1), rows = y.numel() / columns;
  const float *in = x.data<float>(), *b = has_bias ? epilogue.bias.data<float>() : nullptr;
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    T* out = y.data<T>();
    cpu::parallel_rows(rows, columns, [=](int64_t r) {
      for (int64_t c = 0; c < columns; ++c) {
        const float sum = in[r * columns + c] + (b ? b[c] : 0.f);
        out[r * columns + c] = static_cast<T>(relu ? rectified(sum) : sum);
      }
    });
  });
}

void CpuBackend::dropout(Tensor& y, const Tensor& x, const Tensor& draw, Rng rng, float p) {
  const Rng stream = rng.split(static_cast<uint64_t>(draw.data<int32_t>()[0]));
  const float factor = 1.f / (1.f - p);
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    cpu::parallel_blocks(y.numel(), [=](int64_t begin, int64_t end) {
      constexpr int64_t kGroup = 256;  // numbers drawn together, in a loop of vectors
      static_assert(cpu::kBlock % kGroup == 0);
      float drawn[kGroup];
      for (int64_t i = begin; i < end; i += kGroup) {
        for (int64_t b = 0; b < kGroup / 4; ++b) {
          const auto words = stream.block(static_cast<uint64_t>(i / 4 + b));
          for (int64_t k = 0; k < 4; ++k) drawn[4 * b + k] = Rng::unit(words[k]);
        }
        for (int64_t k = 0; k < std::min(kGroup, end - i); ++k)
          out[i + k] = static_cast<T>(drawn[k] < p ? 0.f : factor * static_cast<float>(in[i + k]));
      }
    });
  });
}

void CpuBackend::broadcast(Tensor& y, const Tensor& s, float factor) {
  fill(y, s.data<float>()[0] * factor);
}

void CpuBackend::mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) {
  const float *pa = a.data<float>(), *pb = b.data<float>();
  const float by =
      static_cast<float>(2.0 * static_cast<double>(dy.data<float>()[0]) / double(a.numel()));
  map<float>(
      da, [=](float x, float y) { return by * (x - y); }, pa, pb);
}

void CpuBackend::find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                                const Tensor& step) {
  int32_t* found = guard.data<int32_t>();
  const auto tag_of = [&](size_t j) { return first_tag + static_cast<int32_t>(j); };
  for (size_t j = 0; j < tensors.size(); ++j) {
    bool finite = true;
    with_float_type(tensors[j].dtype(), [&](auto element) {
      const auto* x = tensors[j].data<decltype(element)>();
      // NaN or infinity times 0 is NaN, and a sum keeps it.
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
