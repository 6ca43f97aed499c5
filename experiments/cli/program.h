// The frame of every program: parses options, does the work, reports an error in one line and
// returns an exit code.
//   0 done, 1 an error while working, 2 wrong usage (the line names the option), 130 interrupted.
#pragma once

#include <functional>

#include "experiments/cli/options.h"
#include "experiments/cli/ranks.h"

namespace versor {

// Parses, calls body, reports. Returns the exit code for main(), which is also 1 if standard output
// could not be written, that of --help included. Refuses to be one of several processes.
int run_program(Options& app, int argc, char** argv, const std::function<int()>& body);

// The same of a program that also works as several processes, which mpirun or srun start: each
// parses the same command line, has a GPU of its host to itself, as far as they go round, and
// prints to standard output only as rank 0.
int run_parallel_program(Options& app, int argc, char** argv,
                         const std::function<int(Communicator& ranks)>& body);

constexpr int kInterrupted = 130;

}  // namespace versor
