// The quantizer kernels of this build, one set per device.
#include "vq/backend.h"
#include "vq/cpu/backend.h"

namespace versor {

VqBackend& vq_backend_for(Device device) {
  check(device.type == DeviceType::cpu, "device", "no quantizer kernels for ", device,
        ": this build has no CUDA");
  static CpuVqBackend cpu;
  return cpu;
}

}  // namespace versor
