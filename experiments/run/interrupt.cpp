// Signals: see interrupt.h.
#include "experiments/run/interrupt.h"

#include <csignal>

namespace versor {
namespace {

volatile std::sig_atomic_t signal_received = 0;

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

extern "C" void note_signal(int signal) {
  signal_received = 1;
  std::signal(signal, SIG_DFL);  // a second signal ends the process
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signal_received = 0;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    before_[i] = std::signal(kSignals[i], note_signal);
    if (kSignals[i] == SIGHUP && before_[i] == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
    if (before_[i] == note_signal) before_[i] = SIG_DFL;  // of a training in another thread
  }
}
InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) std::signal(kSignals[i], before_[i]);
}
bool InterruptGuard::interrupted() {
  return signal_received != 0;
}

}  // namespace versor
