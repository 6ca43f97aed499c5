// The clock of what a run measures and waits for: it never goes back.
#pragma once

#include <chrono>

namespace versor {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace versor
