// What the files of this folder share.
#pragma once

#include <mpi.h>
#include <sched.h>

#include <chrono>
#include <thread>

#include "tensor/error.h"

namespace versor::mpi {

// Throws Error with MPI's text unless a call, which `what` describes, has succeeded.
inline void check_call(int code, const char* what) {
  if (code == MPI_SUCCESS) [[likely]]
    return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail("mpi", what, ": ", std::string(text, static_cast<size_t>(length)));
}

// Calls `done` until it returns true. MPI's own calls would keep a core busy all the time, which
// the rank that is waited for may need.
template <class Done>
void wait_until(Done done) {
  using Clock = std::chrono::steady_clock;
  const auto patience = Clock::now() + std::chrono::milliseconds(1);
  while (!done()) {
    if (Clock::now() < patience)
      sched_yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace versor::mpi
