// One launch for a list of tensors. Some are large and most are small: all are cut into chunks,
// which are numbered across the tensors, so that no block waits for a large one. For .cu files
// only.
#pragma once

#include <algorithm>

#include "tensor/cuda/lanes.h"
#include "tensor/cuda/launch.h"

namespace versor::cuda {

constexpr int kMaxParts = 64;     // per launch: the table has to fit into a kernel's 4 KB
constexpr int64_t kChunk = 4096;  // elements, a multiple of all kLanes

struct Part {
  const void* data;  // what is read, float or bf16
  float* value;      // what an optimiser updates from it
  int64_t numel;
  int64_t offset;  // of its first element in a flat buffer
  int32_t tag;     // find_nonfinite: what it is reported as;  optimisers: the parameter's place
  DType dtype;
};

struct PartTable {
  Part part[kMaxParts];
  int first_chunk[kMaxParts + 1];  // of each part; after the last one, the number of all chunks
  int parts;

  void add(const Part& p) {
    part[parts] = p;
    const int chunks = static_cast<int>(blocks_for(p.numel, kChunk));
    first_chunk[parts + 1] = first_chunk[parts] + chunks;
    ++parts;
  }
  VERSOR_HD int chunks() const { return first_chunk[parts]; }
};
static_assert(sizeof(PartTable) < 3900);  // a kernel has a few more arguments

// Calls launch_one(table) for n parts, kMaxParts at a time; part_of(j) gives part j.
template <class PartOf, class LaunchOne>
void for_tables(size_t n, const PartOf& part_of, const LaunchOne& launch_one) {
  for (size_t first = 0; first < n; first += kMaxParts) {
    PartTable table{};
    for (size_t j = first; j < std::min(first + kMaxParts, n); ++j) table.add(part_of(j));
    launch_one(table);
  }
}

#if defined(__CUDACC__) || defined(VERSOR_CUDA_ON_CPU)

// Calls visit(part, chunk of the part) for every chunk of this block.
template <class Visit>
__device__ inline void for_own_chunks(const PartTable& table, Visit&& visit) {
  int p = 0;
  for (int chunk = blockIdx.x; chunk < table.chunks(); chunk += gridDim.x) {
    while (table.first_chunk[p + 1] <= chunk) ++p;  // the chunks increase, so p does
    visit(table.part[p], int64_t{chunk} - table.first_chunk[p]);
  }
}

// Calls body.at<L>(i) for every L neighbours i..i+L-1 of one chunk of a part with n elements, and
// body.at<1>(i) for the remainder, or for everything if the addresses are not aligned.
template <int L, class Body>
__device__ inline void for_chunk(int64_t chunk, int64_t n, bool aligned, Body&& body) {
  const int64_t begin = chunk * kChunk, end = std::min(begin + kChunk, n);
  const int64_t whole = aligned ? end - (end - begin) % L : begin;
  for (int64_t i = begin + threadIdx.x * L; i < whole; i += kThreads * L) body.template at<L>(i);
  for (int64_t i = whole + threadIdx.x; i < end; i += kThreads) body.template at<1>(i);
}

#endif

}  // namespace versor::cuda
