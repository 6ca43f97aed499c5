// Loops over the cores. Work is cut into blocks whose size does not depend on the number of
// threads, and partial sums are combined in the order of the blocks: the result's bits are the
// same for 1 thread and for 64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace versor::cpu {

constexpr int64_t kBlock = 16384;  // elements; large enough to hide the cost of starting threads

// Calls body(begin, end) for consecutive blocks of 0..n-1, in parallel, in no order.
template <class Body>
void parallel_blocks(int64_t n, const Body& body, int64_t block = kBlock) {
  const int64_t blocks = (n + block - 1) / block;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; ++b) body(b * block, std::min(n, (b + 1) * block));
}

// Sum of body(begin, end) over the blocks, in f64, combined in the order of the blocks.
template <class Body>
double parallel_sum(int64_t n, const Body& body, int64_t block = kBlock) {
  std::vector<double> partial(static_cast<size_t>((n + block - 1) / block));
  parallel_blocks(
      n, [&](int64_t begin, int64_t end) { partial[begin / block] = body(begin, end); }, block);
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

// How many rows of `columns` elements make one block.
inline int64_t rows_per_block(int64_t columns) {
  return std::max<int64_t>(1, kBlock / std::max<int64_t>(1, columns));
}

// Calls body(r) for every row r of a matrix [rows,columns], some rows in each block.
template <class Body>
void parallel_rows(int64_t rows, int64_t columns, const Body& body) {
  parallel_blocks(
      rows,
      [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) body(r);
      },
      rows_per_block(columns));
}

}  // namespace versor::cpu
