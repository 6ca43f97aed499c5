// Notices a rank that is gone or stands still, for which all others would wait for ever: a thread
// of each process sends a beat to the next rank, all in a ring, at least every second, and watches
// the one before. A rank that computes for long is not silent, since its thread beats; one is that
// was stopped or killed, or whose host is cut off. After VERSOR_SILENCE_SECONDS (30) without a beat
// it is named in one line on stderr, and all ranks end: by MPI_Abort, and by themselves if the
// launcher cannot be reached either. Launchers notice a process that has ended sooner.
#pragma once

#include <mpi.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace versor::mpi {

class Heartbeat {
 public:
  // names[r] is what errors call rank r. Throws Error if VERSOR_SILENCE_SECONDS is not a number.
  Heartbeat(MPI_Comm ranks, std::vector<std::string> names);
  // Stops beating. All ranks must have come so far that nobody waits for another.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void beat_and_watch();
  [[noreturn]] void end_all(int silent);

  MPI_Comm ranks_ = MPI_COMM_NULL;  // of the threads alone
  std::vector<std::string> names_;
  int rank_ = 0, size_ = 0;
  double silence_ = 30;  // seconds
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace versor::mpi
