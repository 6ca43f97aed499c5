// Signals that end a training after its current step.
#pragma once

namespace versor {

// While it lives, SIGINT, SIGTERM, SIGHUP (a closed terminal; under nohup it stays ignored) and
// SIGUSR1 (a launcher, tensor/README.md) make interrupted() true instead of ending the process. A
// second signal ends the process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  static bool interrupted();
};

}  // namespace versor
