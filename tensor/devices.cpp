// The backends of this build, one per device, made on first use, and what joins those of several
// processes.
#include "tensor/backend.h"
#include "tensor/communicator.h"
#include "tensor/cpu/backend.h"
#include "tensor/cuda/backend.h"
#include "tensor/cuda/nccl.h"
#include "tensor/environment.h"

namespace versor {

Backend& backend_for(Device device) {
  if (device.type == DeviceType::cuda) return cuda_backend(device.index);
  static CpuBackend cpu;
  return cpu;
}

std::unique_ptr<Communicator> communicator_on(Device device, Communicator& host) {
  if (device.type == DeviceType::cpu) return nullptr;
  if (host.is_alone() && !environment_switch("VERSOR_NCCL", false)) return nullptr;
  return cuda::nccl_communicator(device, host);
}

}  // namespace versor
