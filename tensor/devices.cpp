// The backends of this build, one per device, made on first use.
#include "tensor/backend.h"
#include "tensor/cpu/backend.h"
#include "tensor/cuda/backend.h"

namespace versor {

Backend& backend_for(Device device) {
  if (device.type == DeviceType::cuda) return cuda_backend(device.index);
  static CpuBackend cpu;
  return cpu;
}

}  // namespace versor
