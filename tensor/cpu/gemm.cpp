// A matrix product in the classic three layers (Goto and van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication", 2008): tiles of c are shared out over the threads; a tile's operands are
// packed into the order in which they are read; a kernel keeps a 6 x 16 block of c in registers.
#include "tensor/cpu/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace versor::cpu {
namespace {

constexpr int64_t kRows = 6, kColumns = 16;   // block in registers: 12 AVX2 accumulators
constexpr int64_t kTileM = 96, kTileN = 256;  // tile of c that one thread works on
constexpr int64_t kTileL = 256;               // depth of a packed panel (fits the L2 cache)

// panel[p][l][i] = a(first + p*kRows + i, l), zero beyond `m`.
void pack_rows(float* panel, MatrixView a, int64_t first, int64_t m, int64_t l0, int64_t l) {
  for (int64_t p = 0; p < m; p += kRows)
    for (int64_t k = 0; k < l; ++k)
      for (int64_t i = 0; i < kRows; ++i)
        *panel++ = p + i < m ? a.data[(first + p + i) * a.row + (l0 + k) * a.column] : 0.f;
}

// panel[p][l][j] = b(l, first + p*kColumns + j), zero beyond `n`.
void pack_columns(float* panel, MatrixView b, int64_t first, int64_t n, int64_t l0, int64_t l) {
  for (int64_t p = 0; p < n; p += kColumns)
    for (int64_t k = 0; k < l; ++k)
      for (int64_t j = 0; j < kColumns; ++j)
        *panel++ = p + j < n ? b.data[(l0 + k) * b.row + (first + p + j) * b.column] : 0.f;
}

// Eight floats that the compiler keeps in one register (GCC and Clang's vector extension).
using Vector = float __attribute__((vector_size(32)));

inline Vector fma(float x, Vector y, Vector sum) {
  for (int t = 0; t < 8; ++t) sum[t] = std::fma(x, y[t], sum[t]);
  return sum;
}

// block [kRows,kColumns] += sum over k of a[k,:]^T b[k,:].
void kernel(float* __restrict block, const float* __restrict a, const float* __restrict b,
            int64_t l) {
  Vector low[kRows], high[kRows];  // columns 0..7 and 8..15 of the block
  for (int i = 0; i < kRows; ++i) {
    std::memcpy(&low[i], block + i * kColumns, sizeof(Vector));
    std::memcpy(&high[i], block + i * kColumns + 8, sizeof(Vector));
  }
  for (int64_t k = 0; k < l; ++k) {
    Vector b_low, b_high;
    std::memcpy(&b_low, b + k * kColumns, sizeof(Vector));
    std::memcpy(&b_high, b + k * kColumns + 8, sizeof(Vector));
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      low[i] = fma(a[k * kRows + i], b_low, low[i]);
      high[i] = fma(a[k * kRows + i], b_high, high[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    std::memcpy(block + i * kColumns, &low[i], sizeof(Vector));
    std::memcpy(block + i * kColumns + 8, &high[i], sizeof(Vector));
  }
}

// One tile of c: rows m0.., columns n0...
void tile(int64_t m0, int64_t m, int64_t n0, int64_t n, int64_t l, MatrixView a, MatrixView b,
          float* c, int64_t c_row, bool accumulate, std::vector<float>& pack_a,
          std::vector<float>& pack_b) {
  for (int64_t l0 = 0; l0 < l; l0 += kTileL) {
    const int64_t depth = std::min(kTileL, l - l0);
    pack_rows(pack_a.data(), a, m0, m, l0, depth);
    pack_columns(pack_b.data(), b, n0, n, l0, depth);
    const bool add = accumulate || l0 > 0;
    for (int64_t j = 0; j < n; j += kColumns)
      for (int64_t i = 0; i < m; i += kRows) {
        float block[kRows * kColumns] = {};
        const int64_t rows = std::min(kRows, m - i), columns = std::min(kColumns, n - j);
        float* out = c + (m0 + i) * c_row + n0 + j;
        if (add)
          for (int64_t r = 0; r < rows; ++r)
            std::copy_n(out + r * c_row, columns, block + r * kColumns);
        kernel(block, pack_a.data() + i * depth, pack_b.data() + j * depth, depth);
        for (int64_t r = 0; r < rows; ++r)
          std::copy_n(block + r * kColumns, columns, out + r * c_row);
      }
  }
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t l, MatrixView a, MatrixView b, float* c, bool accumulate) {
  if (l == 0 && !accumulate) std::fill(c, c + m * n, 0.f);
  const int64_t tiles_m = (m + kTileM - 1) / kTileM, tiles_n = (n + kTileN - 1) / kTileN;
#pragma omp parallel if (tiles_m * tiles_n > 1)
  {
    std::vector<float> pack_a(kTileM * kTileL), pack_b(kTileN * kTileL);
#pragma omp for schedule(dynamic)
    for (int64_t t = 0; t < tiles_m * tiles_n; ++t) {
      const int64_t m0 = t / tiles_n * kTileM, n0 = t % tiles_n * kTileN;
      tile(m0, std::min(kTileM, m - m0), n0, std::min(kTileN, n - n0), l, a, b, c, n, accumulate,
           pack_a, pack_b);
    }
  }
}

}  // namespace versor::cpu
