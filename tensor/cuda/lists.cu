// Primitives that go through a list of tensors in one launch: Adam, and the search for what is not
// finite. Element by element they are those of tensor/elementwise.h; see also lanes.h.
#include <algorithm>
#include <cmath>

#include "tensor/cuda/lanes.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"

namespace versor {
namespace {

using cuda::Floats;
using cuda::is_aligned;
using cuda::kLanes;
using cuda::kThreads;
using cuda::load;
using cuda::store;

// Some parameters are large and most are small. All of them are cut into chunks, and the chunks of
// all are numbered through, so that one launch serves them all and no block waits for a large one.

constexpr int kMaxParts = 64;     // of one launch: the table has to fit into a kernel's 4 KB
constexpr int64_t kChunk = 4096;  // elements, a multiple of all kLanes

struct Part {
  const void* data;  // float or bf16
  int64_t numel;
  int64_t place;  // adam: of its first element in weight, m, v;  find_nonfinite: its tag
  DType dtype;
};

struct PartTable {
  Part part[kMaxParts];
  int first_chunk[kMaxParts + 1];  // of each part; behind the last one the number of all chunks
  int parts;

  void add(const Tensor& x, int64_t place) {
    part[parts] = {x.address(), x.numel(), place, x.dtype()};
    const int chunks = static_cast<int>(cuda::blocks_for(x.numel(), kChunk));
    first_chunk[parts + 1] = first_chunk[parts] + chunks;
    ++parts;
  }
  VERSOR_HD int chunks() const { return first_chunk[parts]; }
};
static_assert(sizeof(PartTable) < 4000);

// Calls body.at<L>(i) for every L neighbours i..i+L-1 of one chunk of a part with n elements, and
// body.at<1>(i) for what is left over, or for all if the addresses are not aligned.
template <int L, class Body>
__device__ inline void for_chunk(int64_t chunk, int64_t n, bool aligned, Body&& body) {
  const int64_t begin = chunk * kChunk, end = std::min(begin + kChunk, n);
  const int64_t whole = aligned ? end - (end - begin) % L : begin;
  for (int64_t i = begin + threadIdx.x * L; i < whole; i += kThreads * L) body.template at<L>(i);
  for (int64_t i = whole + threadIdx.x; i < end; i += kThreads) body.template at<1>(i);
}

struct AdamStep {
  float *w, *m, *v;  // of the part
  const float* g;
  AdamParams params;
  AdamFactors factors;

  template <int L>
  __device__ void at(int64_t i) const {
    Floats<L> ws = load<L>(w + i), ms = load<L>(m + i), vs = load<L>(v + i);
    const Floats<L> gs = load<L>(g + i);
    for (int l = 0; l < L; ++l)
      adam_update(ws.lane[l], ms.lane[l], vs.lane[l], gs.lane[l], params, factors);
    store(w + i, ws);
    store(m + i, ms);
    store(v + i, vs);
  }
};

__global__ void adam_kernel(float* weight, float* m, float* v, PartTable table, const int32_t* step,
                            const int32_t* guard, AdamParams params) {
  __shared__ AdamFactors factors;
  if (threadIdx.x == 0) factors = adam_factors(params, step[0]);  // powers in f64: once is enough
  __syncthreads();
  if (cuda::is_frozen(guard)) return;
  int p = 0;
  for (int chunk = blockIdx.x; chunk < table.chunks(); chunk += gridDim.x) {
    while (table.first_chunk[p + 1] <= chunk) ++p;  // chunks only grow, so p does
    const Part& part = table.part[p];
    float *pw = weight + part.place, *pm = m + part.place, *pv = v + part.place;
    const float* g = static_cast<const float*>(part.data);
    const bool aligned = is_aligned(pw) && is_aligned(pm) && is_aligned(pv) && is_aligned(g);
    const AdamStep body{pw, pm, pv, g, params, factors};
    for_chunk<kLanes<float>>(chunk - table.first_chunk[p], part.numel, aligned, body);
  }
}

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

// Whether this thread finds something in its elements of the chunk.
template <class T>
__device__ inline bool finds_nonfinite(const Part& part, int64_t chunk) {
  FindNonfinite<T> body{static_cast<const T*>(part.data)};
  for_chunk<kLanes<T>>(chunk, part.numel, is_aligned(body.x), body);
  return body.found;
}

// (tag, step) in memory, low half first, is the number step * 2^32 + tag: the smaller number is the
// earlier step and, of that, the lower tag. So one atomic minimum compares both.
__global__ void find_nonfinite_kernel(unsigned long long* guard, PartTable table,
                                      const int32_t* step) {
  int p = 0;
  for (int chunk = blockIdx.x; chunk < table.chunks(); chunk += gridDim.x) {
    while (table.first_chunk[p + 1] <= chunk) ++p;
    const Part& part = table.part[p];
    const int64_t own_chunk = chunk - table.first_chunk[p];
    const bool found = part.dtype == DType::bf16 ? finds_nonfinite<bf16>(part, own_chunk)
                                                 : finds_nonfinite<float>(part, own_chunk);
    const unsigned lanes = __ballot_sync(cuda::kAllLanes, found);
    const auto now = static_cast<unsigned long long>(step[0]) << 32;
    if (lanes != 0 && threadIdx.x % cuda::kWarp == 0)  // one report of a warp is enough
      atomicMin(guard, now | static_cast<unsigned long long>(part.place));
  }
}

}  // namespace

void CudaBackend::adam(Tensor& weight, Tensor& m, Tensor& v, std::span<const AdamPart> parts,
                       const Tensor& step, const Tensor& guard, const AdamParams& params) {
  const int32_t* guarded_by = cuda::guard_of(guard);
  for (size_t first = 0; first < parts.size(); first += kMaxParts) {
    PartTable table{};
    for (size_t j = first; j < std::min(first + kMaxParts, parts.size()); ++j)
      table.add(parts[j].grad, parts[j].offset);
    cuda::launch("adam", stream(), cuda::grid_for(*this, table.chunks(), 1), kThreads, adam_kernel,
                 weight.data<float>(), m.data<float>(), v.data<float>(), table,
                 step.data<int32_t>(), guarded_by, params);
  }
}

void CudaBackend::find_nonfinite(Tensor& guard, std::span<const Tensor> tensors, int first_tag,
                                 const Tensor& step) {
  auto* pair = reinterpret_cast<unsigned long long*>(guard.data<int32_t>());
  for (size_t first = 0; first < tensors.size(); first += kMaxParts) {
    PartTable table{};
    for (size_t j = first; j < std::min(first + kMaxParts, tensors.size()); ++j)
      table.add(tensors[j], first_tag + static_cast<int64_t>(j));
    cuda::launch("find_nonfinite", stream(), cuda::grid_for(*this, table.chunks(), 1), kThreads,
                 find_nonfinite_kernel, pair, table, step.data<int32_t>());
  }
}

}  // namespace versor
