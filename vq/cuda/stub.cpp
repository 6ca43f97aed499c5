// Stands in for the quantizer's CUDA kernels in a build without CUDA.
#include "vq/cuda/backend.h"

namespace versor {

VqBackend& cuda_vq_backend() {
  throw Error("no CUDA device: this build has no CUDA");
}

}  // namespace versor
