// What every program does around its work: parse options, and end with one line and an exit code.
//   0 done, 1 an error while working, 2 wrong usage (the line names the option), 130 interrupted.
#pragma once

#include <functional>

#include "experiments/cli/options.h"

namespace versor {

// Parses, calls body, reports. Returns the exit code for main(): 1 too where standard output, of
// --help as well, could not be written.
int run_program(Options& app, int argc, char** argv, const std::function<int()>& body);

constexpr int kInterrupted = 130;

}  // namespace versor
