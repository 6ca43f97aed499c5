// What every program does around its work: parse options, and end with one line and an exit code.
//   0 done, 1 an error while working, 2 wrong usage (the line names the option), 130 interrupted.
#pragma once

#include <functional>
#include <string>

#include "tensor/device.h"
#include "tensor/dtype.h"

namespace CLI {  // a large header: only files that add options include it
class App;
class Option;
class Validator;
}  // namespace CLI

namespace versor {

// Adds --version, parses, calls body, reports. Returns the exit code for main().
int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

constexpr int kInterrupted = 130;

// Options that several programs have: their checks name the option when the value is wrong.
extern const CLI::Validator kDeviceName;   // cpu, cuda or cuda:N
extern const CLI::Validator kSeedNumber;   // 0..2^64-1; CLI11 2.1 itself takes -1 for the largest
extern const CLI::Validator kNotNegative;  // a finite number >= 0
extern const CLI::Validator kFraction;     // a number in 0..1
CLI::Option* add_precision_option(CLI::App& app, std::string& precision);
// Settles what computes how: finds the device (throws Error if it is not there), decides what
// "auto" stands for on it (bf16 where that is fast, else fp32), refuses tf32 where there is none,
// and tells the device's libraries. Returns fp32, tf32 or bf16.
std::string resolve_precision(const std::string& precision, Device device,
                              bool deterministic = true);
// The type of activations in a precision.
DType activations_of(const std::string& precision);

}  // namespace versor
