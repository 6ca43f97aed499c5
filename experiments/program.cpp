// Frame of a program: see program.h.
#include "experiments/program.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <exception>
#include <limits>

#include "experiments/version.h"
#include "tensor/backend.h"

namespace versor {
namespace {

// One line, whatever the message holds.
void print_error(std::string message) {
  for (char& c : message)
    if (c == '\n') c = ' ';
  std::fprintf(stderr, "error: %s\n", message.c_str());
}

// Empty if text is a number in low..high, else what is wrong. CLI::Range would let NaN through.
std::string outside(const std::string& text, double low, double high) {
  double value = 0;
  if (!CLI::detail::lexical_cast(text, value)) return text + " is not a number";
  return value >= low && value <= high ? "" : text + " is out of range";
}

}  // namespace

const CLI::Validator kDeviceName(
    [](const std::string& text) {
      try {
        parse_device(text);
        return std::string();
      } catch (const Error& e) {
        return std::string(e.what());
      }
    },
    "DEVICE");

const CLI::Validator kNotNegative(
    [](const std::string& text) { return outside(text, 0, std::numeric_limits<double>::max()); },
    "FLOAT >= 0");
const CLI::Validator kFraction([](const std::string& text) { return outside(text, 0, 1); },
                               "FLOAT in [0 - 1]");

const CLI::Validator kSeedNumber(
    [](const std::string& text) {
      uint64_t seed = 0;
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, seed);
      return stop == end && error == std::errc() ? std::string()
                                                 : text + " is not a number from 0 to 2^64 - 1";
    },
    "SEED");

CLI::Option* add_precision_option(CLI::App& app, std::string& precision) {
  return app.add_option("--precision", precision, "of activations and products")
      ->check(CLI::IsMember({"auto", "fp32", "tf32", "bf16"}))
      ->capture_default_str();
}

std::string resolve_precision(const std::string& precision, Device device, bool deterministic) {
  Backend& backend = backend_for(device);
  const DeviceInfo info = backend.info();
  const std::string chosen = precision != "auto" ? precision : info.fast_bf16 ? "bf16" : "fp32";
  check(chosen != "tf32" || info.has_tf32, "precision", "there is no TF32 on ", device, " (",
        info.name, "); use fp32 or bf16");
  if (chosen == "bf16" && !info.fast_bf16)
    std::fprintf(stderr, "note: %s computes in f32 and rounds to bf16; fp32 is faster there\n",
                 info.name.c_str());
  // Beside bf16 activations f32 products are those of the nearest-code search, exact either way.
  backend.configure({.tf32 = chosen != "fp32" && info.has_tf32, .deterministic = deterministic});
  return chosen;
}

DType activations_of(const std::string& precision) {
  return precision == "bf16" ? DType::bf16 : DType::f32;
}

int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  app.set_version_flag("--version", version() + " (commit " + commit() + ")");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    print_error(std::string(e.what()) + " (see --help)");
    return 2;
  }
  try {
    return body();
  } catch (const CLI::ParseError& e) {  // options that contradict each other
    print_error(std::string(e.what()) + " (see --help)");
    return 2;
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::exception& e) {
    print_error(e.what());
  }
  return 1;
}

}  // namespace versor
