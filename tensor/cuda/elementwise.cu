// Element-wise primitives on a GPU. All are one kernel, map_kernel, with different functions: y[i]
// = f(x[i], ...) with f from tensor/elementwise.h. An input is a tensor, a vector that is applied
// to every row or column of a matrix, or a scalar on the device. Such kernels do little but move
// memory, so what counts is that each thread moves 16 bytes at a time (lanes.h). Those that work on
// a list of tensors are in lists.cu and optimizer.cu. Read next: reduce.cu.
#include <cmath>
#include <type_traits>

#include "tensor/cuda/lanes.h"
#include "tensor/cuda/launch.h"

namespace versor {
namespace {

using cuda::Floats;
using cuda::is_aligned;
using cuda::kLanes;
using cuda::kThreads;
using cuda::load;
using cuda::store;

// --- the inputs of map_kernel -------------------------------------------------------------------
// Each has start(), called once by every thread, and read(i), which gives elements i..i+L-1.

// x[i].
template <class T>
struct Elements {
  const T* x;
  explicit Elements(const Tensor& t) : x(t.data<T>()) {}

  bool allows_vectors() const { return is_aligned(x); }
  __device__ void start() {}
  template <int L>
  __device__ Floats<L> read(int64_t i) const {
    return load<L>(x + i);
  }
};

// v[c], where c is the column of element i in a matrix of element type T.
template <class T>
struct RowVector {
  const float* v;
  int64_t columns;
  bool whole;  // a vector of lanes never crosses the end of a row, and its part of v is aligned
  explicit RowVector(const Tensor& t) : v(t.data<float>()), columns(t.numel()) {
    whole = columns % kLanes<T> == 0 && is_aligned(v, kLanes<T> * sizeof(float));
  }

  bool allows_vectors() const { return true; }
  __device__ void start() {}
  template <int L>
  __device__ Floats<L> read(int64_t i) const {
    int64_t c = i % columns;
    if (L > 1 && whole) return load<L>(v + c);
    Floats<L> x;
    for (int l = 0; l < L; ++l) {
      x.lane[l] = v[c];
      if (++c == columns) c = 0;
    }
    return x;
  }
};

// s[r], where r is the row of element i.
struct ColumnVector {
  const float* s;
  int64_t columns;

  bool allows_vectors() const { return true; }
  __device__ void start() {}
  template <int L>
  __device__ Floats<L> read(int64_t i) const {
    int64_t r = i / columns, left = (r + 1) * columns - i;  // left: of row r, from i on
    Floats<L> x;
    for (int l = 0; l < L; ++l) {
      x.lane[l] = s[r];
      if (--left == 0) ++r, left = columns;
    }
    return x;
  }
};

// factor * s[0] / divisor, the same for every element. In f64, where the product of two floats is
// exact: without a divisor it is rounded once, as in f32.
struct Scalar {
  const float* s;
  double factor, divisor = 1;
  float value = 0;  // known after start()

  bool allows_vectors() const { return true; }
  __device__ void start() { value = static_cast<float>(factor * s[0] / divisor); }
  template <int L>
  __device__ Floats<L> read(int64_t) const {
    Floats<L> x;
    for (int l = 0; l < L; ++l) x.lane[l] = value;
    return x;
  }
};

// Number i of the stream of a draw.
struct Uniform {
  Rng rng;
  const int32_t* draw;

  bool allows_vectors() const { return true; }
  __device__ void start() { rng = rng.split(static_cast<uint64_t>(*draw)); }
  template <int L>
  __device__ Floats<L> read(int64_t i) const {
    Floats<L> x;
    for (int l = 0; l < L; ++l) x.lane[l] = rng.uniform_by_four(static_cast<uint64_t>(i + l));
    return x;
  }
};

// --- the functions of map_kernel ----------------------------------------------------------------

struct ScaledDifference {
  __device__ float operator()(float a, float b, float by) const { return by * (a - b); }
};
struct Same {
  __device__ float operator()(float x) const { return x; }
};
struct Dropped {
  float p, factor;
  __device__ float operator()(float x, float u) const { return u < p ? 0.f : factor * x; }
};

// --- map_kernel ---------------------------------------------------------------------------------

// y[l] = f(x[l], ...). All x have been read by now, so y may be one of the inputs.
template <int L, class T, class F, class... X>
__device__ inline void map_lanes(T* y, const F& f, const X&... x) {
  Floats<L> out;
  for (int l = 0; l < L; ++l) out.lane[l] = f(x.lane[l]...);
  store(y, out);
}

// y[i] = f(in[i]...) for i < n, 16 bytes at a time if all addresses are multiples of 16; the
// remainder, or everything if they are not, one by one.
template <class T, class F, class... In>
__global__ void map_kernel(T* y, int64_t n, bool vectors, F f, In... in) {
  constexpr int L = kLanes<T>;
  (in.start(), ...);
  const int64_t whole = vectors ? n / L : 0;
  for (int64_t i = cuda::global_index(); i < whole; i += cuda::global_threads())
    map_lanes<L>(y + i * L, f, in.template read<L>(i * L)...);
  for (int64_t i = whole * L + cuda::global_index(); i < n; i += cuda::global_threads())
    map_lanes<1>(y + i, f, in.template read<1>(i)...);
}

template <class T, class F, class... In>
void map(const char* name, CudaBackend& backend, Tensor& y, const F& f, const In&... in) {
  const bool vectors = is_aligned(y.address()) && (in.allows_vectors() && ...);
  const int64_t per_block = vectors ? kThreads * kLanes<T> : kThreads;
  cuda::launch(name, backend.stream(), cuda::grid_for(backend, y.numel(), per_block), kThreads,
               map_kernel<T, F, In...>, y.data<T>(), y.numel(), vectors, f, in...);
}

// y[i] = F<op>(x[i], ...), all of y's element type.
template <template <auto> class F, class Op, class... Inputs>
void map_op(const char* name, CudaBackend& backend, Tensor& y, Op op, const Inputs&... x) {
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    with_constant(
        op, [&](auto constant) { map<T>(name, backend, y, F<constant()>(), Elements<T>(x)...); });
  });
}

}  // namespace

void CudaBackend::unary(Tensor& y, const Tensor& x, UnaryOp op) {
  map_op<Value>("unary", *this, y, op, x);
}

void CudaBackend::unary_grad(Tensor& dx, const Tensor& dy, const Tensor& saved, UnaryOp op) {
  map_op<Gradient>("unary_grad", *this, dx, op, dy, saved);
}

void CudaBackend::binary(Tensor& y, const Tensor& a, const Tensor& b, BinaryOp op) {
  map_op<Value>("binary", *this, y, op, a, b);
}

void CudaBackend::binary_rows(Tensor& y, const Tensor& x, const Tensor& v, BinaryOp op) {
  with_constant(op, [&](auto constant) {
    map<float>("binary_rows", *this, y, Value<constant()>(), Elements<float>(x),
               RowVector<float>(v));
  });
}

void CudaBackend::scale_rows(Tensor& y, const Tensor& x, const Tensor& s) {
  map<float>("scale_rows", *this, y, Value<BinaryOp::mul>(), Elements<float>(x),
             ColumnVector{s.data<float>(), x.dim(1)});
}

void CudaBackend::dropout(Tensor& y, const Tensor& x, const Tensor& draw, Rng rng, float p) {
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    map<T>("dropout", *this, y, Dropped{p, 1.f / (1.f - p)}, Elements<T>(x),
           Uniform{rng, draw.data<int32_t>()});
  });
}

void CudaBackend::broadcast(Tensor& y, const Tensor& s, float factor) {
  map<float>("broadcast", *this, y, Same(), Scalar{s.data<float>(), factor});
}

void CudaBackend::mse_grad(Tensor& da, const Tensor& dy, const Tensor& a, const Tensor& b) {
  map<float>("mse_grad", *this, da, ScaledDifference(), Elements<float>(a), Elements<float>(b),
             Scalar{dy.data<float>(), 2, static_cast<double>(a.numel())});
}

void CudaBackend::apply_epilogue(Tensor& y, const Epilogue& epilogue) {
  with_float_type(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const Elements<T> x(y);
    const bool bias = epilogue.bias.defined(), relu = epilogue.relu;
    if (bias && relu)
      map<T>("epilogue", *this, y, Value<BinaryOp::add_relu>(), x, RowVector<T>(epilogue.bias));
    else if (bias)
      map<T>("epilogue", *this, y, Value<BinaryOp::add>(), x, RowVector<T>(epilogue.bias));
    else if (relu)
      map<T>("epilogue", *this, y, Value<UnaryOp::relu>(), x);
  });
}

}  // namespace versor
