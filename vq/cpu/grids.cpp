// The nearest point of fixed grids on the CPU, without a search: rows in parallel, the arithmetic
// of a row in vq/row_math.h.
#include "tensor/cpu/parallel.h"
#include "vq/cpu/backend.h"

namespace versor {
namespace {

// index[r] = code_of(row r) for all rows of z [R,d].
template <class CodeOf>
void code_rows(Tensor& index, const Tensor& z, const CodeOf& code_of) {
  const int64_t d = z.dim(1);
  const float* rows = z.data<float>();
  int32_t* out = index.data<int32_t>();
  cpu::parallel_blocks(
      z.dim(0),
      [=](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) out[r] = code_of(rows + r * d);
      },
      cpu::rows_per_block(d));
}

}  // namespace

void CpuVqBackend::sign_code(Tensor& index, const Tensor& z) {
  const int64_t d = z.dim(1);
  code_rows(index, z, [=](const float* row) { return row_sign_code(row, d); });
}

void CpuVqBackend::grid_code(Tensor& index, const Tensor& z, const Tensor& grid,
                             const Tensor& levels) {
  const int64_t d = z.dim(1);
  const float* points = grid.data<float>();
  const int32_t* counts = levels.data<int32_t>();
  code_rows(index, z, [=](const float* row) { return row_grid_code(row, points, counts, d); });
}

}  // namespace versor
