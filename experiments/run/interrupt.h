// Signals that end a training after its current step.
#pragma once

#include <array>

namespace versor {

// While it lives, SIGINT, SIGTERM, SIGHUP (a closed terminal; under nohup it stays ignored) and
// SIGUSR1 (a launcher, tensor/README.md) make interrupted() true instead of ending the process. A
// second signal ends the process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();  // what the signals did before, they do again
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool interrupted();

 private:
  using Handler = void (*)(int);
  std::array<Handler, 4> before_;
};

}  // namespace versor
