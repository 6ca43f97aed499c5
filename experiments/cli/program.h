// What every program does around its work: parse options, and end with one line and an exit code.
//   0 done, 1 an error while working, 2 wrong usage (the line names the option), 130 interrupted.
#pragma once

#include <functional>
#include <string>

#include "experiments/cli/options.h"
#include "tensor/device.h"
#include "tensor/dtype.h"

namespace versor {

// Parses, calls body, reports. Returns the exit code for main().
int run_program(Options& app, int argc, char** argv, const std::function<int()>& body);

constexpr int kInterrupted = 130;

Option add_precision_option(Options& app, std::string& precision);
// --max-memory: "500M", "4G"; and sets that limit, if one is given, for the tensors on a device.
Option add_memory_option(Options& app, std::string& limit);
void limit_memory(const std::string& limit, Device device);
// Settles what computes how: finds the device (throws Error if it is not there), decides what
// "auto" stands for on it (bf16 where that is fast, else fp32), refuses tf32 where there is none,
// and tells the device's libraries. Returns fp32, tf32 or bf16.
std::string resolve_precision(const std::string& precision, Device device,
                              bool deterministic = true);
// The type of activations in a precision.
DType activations_of(const std::string& precision);

}  // namespace versor
