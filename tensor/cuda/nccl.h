// GPUs of several processes, joined by NCCL. Read tensor/communicator.h first. nccl_library.cpp
// finds NCCL when the first function is called, nccl_stub.cpp stands in for it in a build without.
#pragma once

#include "tensor/communicator.h"

namespace versor::cuda {

// Joins this process's GPU with those of all other ranks of `host`, which call this too; `host`
// serves whatever concerns no GPU. Throws Error in rank 0 if a rank has no NCCL or another one, or
// two have the same GPU, and in each rank where NCCL refuses. The others then wait: a program calls
// abort(). CUDA graphs that contain calls of the result must be destroyed before it, because NCCL
// waits for them.
std::unique_ptr<Communicator> nccl_communicator(Device device, Communicator& host);

}  // namespace versor::cuda
