// Signals: see interrupt.h.
#include "experiments/run/interrupt.h"

#include <csignal>

namespace versor {
namespace {

volatile std::sig_atomic_t signal_received = 0;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

extern "C" void note_signal(int signal) {
  signal_received = 1;
  std::signal(signal, SIG_DFL);  // a second signal ends the process
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_received = 0;
  for (int signal : kSignals)
    if (std::signal(signal, note_signal) == SIG_IGN && signal == SIGHUP)
      std::signal(SIGHUP, SIG_IGN);
}
InterruptGuard::~InterruptGuard() {
  for (int signal : kSignals)
    if (std::signal(signal, SIG_DFL) == SIG_IGN) std::signal(signal, SIG_IGN);
}
bool InterruptGuard::interrupted() {
  return signal_received != 0;
}

}  // namespace versor
