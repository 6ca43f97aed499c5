// Names of devices.
#include "tensor/device.h"

#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  const std::string text(input);
  Device device;
  if (!accepts(text.c_str(), [&] { device = parse_device(text); })) return;
  require(device.index >= 0 && (device.type == DeviceType::cuda || text == "cpu"), "a device");
  require(parse_device(str(device)) == device, "its name is read again");
}

}  // namespace

FUZZ_TARGET(device, read)

}  // namespace versor::fuzzing
