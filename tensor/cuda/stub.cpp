// Stands in for the CUDA backend in a build without CUDA.
#include "tensor/cuda/backend.h"

namespace versor {

Backend& cuda_backend(int index) {
  fail("device", "cuda:", index, " is not available: no CUDA device (this build has no CUDA)");
}

}  // namespace versor
