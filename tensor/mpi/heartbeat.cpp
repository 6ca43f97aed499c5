#include "tensor/mpi/heartbeat.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

extern "C" {  // glibc 2.36 has forgotten it
#include <sys/pidfd.h>
}

#include "tensor/communicator.h"
#include "tensor/environment.h"
#include "tensor/mpi/mpi.h"

namespace versor::mpi {

namespace {

enum Tag { kBeat, kEnd };
// A rank that knows that all end gives the launcher this long to end it.
constexpr unsigned kPatience = 5;  // seconds

double silence_seconds() {
  const std::string text = environment("VERSOR_SILENCE_SECONDS").value_or("30");
  double seconds = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seconds);
  check(error == std::errc() && rest == end && seconds >= 1 && seconds <= 1e6, "environment",
        "VERSOR_SILENCE_SECONDS is \"", text, "\"; expected a number of seconds, at least 1");
  return seconds;
}

// Whether a request is done. What MPI says of a rank that is gone does not matter: it is silent.
bool done(MPI_Request& request) {
  int done = 0;
  if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) request = MPI_REQUEST_NULL;
  return done || request == MPI_REQUEST_NULL;
}

// Ends this process by itself after kPatience, and a launcher that goes on for longer: mpirun waits
// for an answer from a host that is cut off, for a quarter of an hour with Linux's defaults.
void end_soon() {
  signal(SIGALRM, SIG_DFL);
  alarm(kPatience);
  if (!launcher_is_parent()) return;  // it has ended already, or is the user's own
  const int launcher = pidfd_open(getppid(), 0);
  if (launcher < 0 || fork() != 0) return;
  setsid();  // the launcher must not end this child with its rank, nor wait for its output
  dup2(launcher, 0);
  close_range(1, ~0u, 0);
  pollfd ended = {.fd = 0, .events = POLLIN, .revents = 0};
  // asked by SIGTERM, mpirun crashes in this state
  if (poll(&ended, 1, 2000 * kPatience) == 0) pidfd_send_signal(0, SIGKILL, nullptr, 0);
  _exit(0);
}

}  // namespace

Heartbeat::Heartbeat(MPI_Comm ranks, std::vector<std::string> names)
    : names_(std::move(names)), silence_(silence_seconds()) {
  check_call(MPI_Comm_dup(ranks, &ranks_), "MPI_Comm_dup");
  MPI_Comm_rank(ranks_, &rank_);
  MPI_Comm_size(ranks_, &size_);
  // signals are for the thread that computes
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { beat_and_watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
  MPI_Comm_free(&ranks_);
}

void Heartbeat::beat_and_watch() {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  const Seconds silence(silence_), pause(std::min(1.0, silence_ / 8));
  const int before = (rank_ + size_ - 1) % size_, next = (rank_ + 1) % size_;
  static const char beat = 0;
  char heard = 0;
  int silent = 0;
  MPI_Request sent = MPI_REQUEST_NULL, received = MPI_REQUEST_NULL, end = MPI_REQUEST_NULL;
  MPI_Irecv(&heard, 1, MPI_CHAR, before, kBeat, ranks_, &received);
  MPI_Irecv(&silent, 1, MPI_INT, MPI_ANY_SOURCE, kEnd, ranks_, &end);
  Clock::time_point last_heard = Clock::now(), last_looked = last_heard;
  std::unique_lock lock(mutex_);
  for (bool ending = false; !stop_.wait_for(lock, pause, [this] { return stopping_; });) {
    const auto now = Clock::now();
    // after a while in which this process itself was stopped, the others get a new one
    if (now - last_looked > silence / 2) last_heard = now;
    last_looked = now;
    if (done(sent)) MPI_Isend(&beat, 1, MPI_CHAR, next, kBeat, ranks_, &sent);
    for (int i = 0; i < 1000 && done(received); ++i) {
      last_heard = now;
      MPI_Irecv(&heard, 1, MPI_CHAR, before, kBeat, ranks_, &received);
    }
    if (!ending && done(end)) {
      ending = true;  // the rank that found the silent one says so and calls MPI_Abort
      end_soon();
    }
    if (!ending && now - last_heard > silence) end_all(before);
  }
  for (MPI_Request* request : {&received, &end}) {  // they write to this function's variables
    if (*request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(request);
    MPI_Wait(request, MPI_STATUS_IGNORE);
  }
  if (sent != MPI_REQUEST_NULL) MPI_Request_free(&sent);
}

void Heartbeat::end_all(int silent) {
  end_soon();
  const std::string line =
      str("error: ", names_[static_cast<size_t>(silent)], " has been silent for ",
          std::lround(silence_),
          " s: it was stopped or killed, or its host is cut off; all ranks end\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(1);
  std::vector<MPI_Request> told;
  for (int r = 0; r < size_; ++r)
    if (r != rank_ && r != silent)
      MPI_Isend(&silent, 1, MPI_INT, r, kEnd, ranks_, &told.emplace_back(MPI_REQUEST_NULL));
  for (int i = 0; i < 50; ++i) {  // what is sent goes on in calls
    for (MPI_Request& request : told) done(request);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  MPI_Abort(ranks_, 1);
  _exit(1);
}

}  // namespace versor::mpi
