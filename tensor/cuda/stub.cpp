// Stands in for the CUDA backend in a build without CUDA.
#include "tensor/cuda/backend.h"

namespace versor {

Backend& cuda_backend(int index) {
  throw Error(str("no CUDA device: this build has no CUDA (cuda:", index, " was asked for)"));
}

}  // namespace versor
