// The search for values that are not finite in a list of tensors, in one launch: see lists.h.
#include <cmath>

#include "tensor/cuda/lists.h"

namespace versor {
namespace {

using cuda::Floats;
using cuda::kLanes;
using cuda::load;
using cuda::Part;

template <class T>
struct FindNonfinite {
  const T* x;
  bool found = false;

  template <int L>
  __device__ void at(int64_t i) {
    const Floats<L> values = load<L>(x + i);
    for (int l = 0; l < L; ++l) found |= !std::isfinite(values.lane[l]);
  }
};

// Whether this thread finds one among its elements of the chunk.
template <class T>
__device__ inline bool finds_nonfinite(const Part& part, int64_t chunk) {
  FindNonfinite<T> body{static_cast<const T*>(part.data)};
  cuda::for_chunk<kLanes<T>>(chunk, part.numel, cuda::is_aligned(body.x), body);
  return body.found;
}

// (tag, step) in memory, low half first, is the number step * 2^32 + tag: the smaller number has
// the earlier step or, within a step, the lower tag. So one atomic minimum compares both.
__global__ void find_nonfinite_kernel(unsigned long long* guard, cuda::PartTable table,
                                      const int32_t* step) {
  cuda::for_own_chunks(table, [&](const Part& part, int64_t chunk) {
    const bool found = part.dtype == DType::bf16 ? finds_nonfinite<bf16>(part, chunk)
                                                 : finds_nonfinite<float>(part, chunk);
    const unsigned lanes = __ballot_sync(cuda::kAllLanes, found);
    const auto now = static_cast<unsigned long long>(step[0]) << 32;
    if (lanes != 0 && threadIdx.x % cuda::kWarp == 0)  // one report per warp is enough
      atomicMin(guard, now | static_cast<unsigned long long>(part.tag));
  });
}

}  // namespace

void CudaBackend::find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                                 const Tensor& step) {
  auto* pair = reinterpret_cast<unsigned long long*>(guard.data<int32_t>());
  const auto part_of = [&](size_t j) {
    const Tensor& x = tensors[j];
    const int32_t tag = first_tag + static_cast<int32_t>(j);
    return Part{x.address(), nullptr, x.numel(), 0, tag, x.dtype()};
  };
  cuda::for_tables(tensors.size(), part_of, [&](const cuda::PartTable& table) {
    cuda::launch("find_nonfinite", stream(), cuda::grid_for(*this, table.chunks(), 1),
                 cuda::kThreads, find_nonfinite_kernel, pair, table, step.data<int32_t>());
  });
}

}  // namespace versor
