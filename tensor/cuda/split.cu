// The TF32 parts of the operands of a convolution: see split.h.
#include "tensor/cuda/lanes.h"
#include "tensor/cuda/split.h"

namespace versor::cuda {
namespace {

struct Parts {
  Part part[3];
};
// The small products come first: added to a sum that is large already, they would be rounded more.
constexpr Parts kFirst{{Part::lo, Part::finite_hi, Part::hi}};
constexpr Parts kSecond{{Part::finite_hi, Part::lo, Part::hi}};

// y[r, p, c] = part p of x[r, c], L neighbours at a time.
template <int L>
__global__ void split_kernel(float* y, const float* x, int64_t vectors, int64_t columns,
                             Parts parts) {
  for (int64_t i = global_index(); i < vectors; i += global_threads()) {
    const int64_t r = i * L / columns, c = i * L % columns;
    const Floats<L> in = load<L>(x + i * L);
    for (int p = 0; p < 3; ++p) {
      Floats<L> out;
      for (int l = 0; l < L; ++l) out.lane[l] = part_of(in.lane[l], parts.part[p]);
      store(y + (3 * r + p) * columns + c, out);
    }
  }
}

// The parts of each run of `columns` elements one after the other; axis `axis` becomes three times
// as long.
Tensor split(CudaBackend& backend, const Tensor& x, int axis, int64_t columns, Parts parts) {
  int64_t extents[Shape::kMaxRank];
  std::copy(x.shape().begin(), x.shape().end(), extents);
  extents[axis] *= 3;
  Tensor y(Shape(std::span<const int64_t>(extents, x.shape().rank())), DType::f32, x.device());
  const bool whole =
      columns % kLanes<float> == 0 && is_aligned(x.address()) && is_aligned(y.address());
  const int64_t vectors = x.numel() / (whole ? kLanes<float> : 1);
  launch("split_tf32", backend.stream(), grid_for(backend, vectors, kThreads), kThreads,
         whole ? split_kernel<kLanes<float>> : split_kernel<1>, y.data<float>(), x.data<float>(),
         vectors, columns, parts);
  return y;
}

}  // namespace

SplitOperands split_operands(CudaBackend& backend, ConvKind kind, const SplitOperands& of) {
  const auto channels = [&](const Tensor& x, Parts parts) {
    return split(backend, x, 3, x.dim(3), parts);
  };
  const auto outermost = [&](const Tensor& x, Parts parts) {
    return split(backend, x, 0, x.numel(), parts);
  };
  switch (kind) {
    case ConvKind::forward:
      return {channels(of.x, kFirst), channels(of.weight, kSecond), of.y};
    case ConvKind::grad_input:
      return {of.x, outermost(of.weight, kSecond), channels(of.y, kFirst)};
    case ConvKind::grad_weight:
      return {outermost(of.x, kFirst), of.weight, outermost(of.y, kSecond)};
  }
  fail("conv2d", "unknown kind of convolution");
}

}  // namespace versor::cuda
