// The nearest point of fixed grids on a GPU, without a search: a thread per row, the arithmetic of
// a row in vq/row_math.h, as on the CPU.
#include "tensor/cuda/launch.h"
#include "tensor/cuda/scratch.h"
#include "vq/cuda/backend.h"

namespace versor {
namespace {

using cuda::kThreads;

__global__ void sign_code_kernel(int32_t* index, const float* z, int64_t rows, int64_t d) {
  const int64_t r = cuda::global_index();
  if (r < rows) index[r] = row_sign_code(z + r * d, d);
}

__global__ void grid_code_kernel(int32_t* index, const float* z, const float* grid,
                                 const int32_t* levels, int64_t rows, int64_t d) {
  const int64_t r = cuda::global_index();
  if (r < rows) index[r] = row_grid_code(z + r * d, grid, levels, d);
}

}  // namespace

void CudaVqBackend::sign_code(Tensor& index, const Tensor& z) {
  const int64_t rows = z.dim(0);
  cuda::launch("sign_code", cuda::backend_of(z).stream(), cuda::blocks_for(rows, kThreads),
               kThreads, sign_code_kernel, index.data<int32_t>(), z.data<float>(), rows, z.dim(1));
}

void CudaVqBackend::grid_code(Tensor& index, const Tensor& z, const Tensor& grid,
                              const Tensor& levels) {
  const int64_t rows = z.dim(0);
  cuda::launch("grid_code", cuda::backend_of(z).stream(), cuda::blocks_for(rows, kThreads),
               kThreads, grid_code_kernel, index.data<int32_t>(), z.data<float>(),
               grid.data<float>(), levels.data<int32_t>(), rows, z.dim(1));
}

}  // namespace versor
