// GPUs of several processes, joined by NCCL. Read tensor/communicator.h first. nccl_library.cpp
// finds NCCL when the first function is called, nccl_stub.cpp stands in for it in a build without.
#pragma once

#include <chrono>

#include "tensor/communicator.h"

namespace versor::cuda {

// Joins this process's GPU with those of all other ranks of `host`, which call this too; `host`
// serves whatever concerns no GPU. Throws Error in rank 0 if a rank has no NCCL or another one, or
// two have the same GPU, and in each rank where NCCL refuses. The others then wait: a program calls
// abort(). CUDA graphs that contain calls of the result must be destroyed before it, because NCCL
// waits for them. All ranks end, with a line on stderr, if NCCL reports a fault of a network or of
// a peer for `patience`; by default that is longer than the host's communicator needs to find a
// rank that is gone and name it.
std::unique_ptr<Communicator> nccl_communicator(
    Device device, Communicator& host,
    std::chrono::milliseconds patience = std::chrono::seconds(40));

}  // namespace versor::cuda
