// The quantizer kernels of this build, one set per device.
#include "vq/backend.h"
#include "vq/cpu/backend.h"
#include "vq/cuda/backend.h"

namespace versor {

VqBackend& vq_backend_for(Device device) {
  if (device.type == DeviceType::cuda) return cuda_vq_backend();
  static CpuVqBackend cpu;
  return cpu;
}

}  // namespace versor
