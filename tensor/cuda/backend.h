// The door to the CUDA device. A build without CUDA has stub.cpp behind it.
#pragma once

#include "tensor/backend.h"

namespace versor {

// The backend of one GPU. Throws Error if this build or this machine has none.
Backend& cuda_backend(int index);

}  // namespace versor
