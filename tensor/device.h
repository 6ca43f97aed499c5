// Where a tensor lives. Everything above the Backend boundary treats all devices alike.
#pragma once

#include <ostream>
#include <string>

namespace versor {

enum class DeviceType { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.type == DeviceType::cpu) return out << "cpu";
  return out << "cuda:" << device.index;
}

// "cpu", "cuda" or "cuda:N". Throws Error for anything else.
Device parse_device(const std::string& text);

}  // namespace versor
