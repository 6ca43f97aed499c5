// Stands in for NCCL in a build without it.
#include "tensor/cuda/nccl.h"

namespace versor::cuda {

std::unique_ptr<Communicator> nccl_communicator(Device device, Communicator& host,
                                                std::chrono::milliseconds) {
  fail("nccl", "this build has no NCCL to join the GPUs of ", host.size(), " processes (", device,
       " was asked for)");
}

}  // namespace versor::cuda
