// The plain matrix product that the reference convolution and matmul are made of.
#pragma once

#include <cstdint>

namespace versor::cpu {

// A matrix in memory: element (i,j) is at data[i * row + j * column]; a transpose only swaps the
// two strides.
struct MatrixView {
  const float* data;
  int64_t row, column;
};

// c [m,n] = a [m,l] b [l,n], or c += a b;  c is contiguous. Each element is summed by one thread in
// the order of l, so the bits do not depend on the number of threads.
void gemm(int64_t m, int64_t n, int64_t l, MatrixView a, MatrixView b, float* c, bool accumulate);

}  // namespace versor::cpu
