// How a program works as several processes that a launcher has started (tensor/communicator.h).
// They run the same program on the same command line. Rank 0 alone prints and writes files. An
// error that all ranks meet alike is thrown by all as SharedError and reported once; a rank that
// fails by itself reports it and ends the others, which would wait for it.
#pragma once

#include <functional>
#include <string>

#include "tensor/communicator.h"

namespace versor {

// An error that every rank throws at the same place, so that none waits for another.
struct SharedError : Error {
  SharedError(const std::string& what, int exit_code) : Error(what), code(exit_code) {}
  int code;  // exit code of the program
};

// What work that threw has to say, and the program's exit code; 0 if it did not throw.
struct Failure {
  int code = 0;
  std::string what;
  bool shared = false;  // it was a SharedError
};
Failure failure_of(const std::function<void()>& work);

// Does `work`, which may fail on some of the ranks, and waits for all. Throws SharedError on all if
// it has failed anywhere; the message names the rank unless that is rank 0. A process that is alone
// throws what `work` throws.
void together(Communicator& ranks, const std::function<void()>& work);
// Only rank 0 does `work`, and all wait for it.
void at_root(Communicator& ranks, const std::function<void()>& work);
// Rank 0's answer, on all ranks.
bool root_says(Communicator& ranks, const std::function<bool()>& question);

// Reports an error that this rank alone has met, and ends all ranks.
[[noreturn]] void fail_alone(Communicator& ranks, const Failure& failure);

// A single line, whatever the message holds: "error: ...".
void print_error(std::string message);
// Prints lines to standard error, but only in one of several processes.
void print_note(const std::string& lines);
// Whether this process is rank 0, according to its launcher's environment; true without one.
bool is_launched_as_root();

}  // namespace versor
