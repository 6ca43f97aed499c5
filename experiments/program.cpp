// Frame of a program: see program.h.
#include "experiments/program.h"

#include <charconv>
#include <cstdio>
#include <exception>
#include <limits>

#include "experiments/version.h"
#include "tensor/device.h"
#include "tensor/error.h"

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

std::string resolve_precision(const std::string& precision, const std::string& device) {
  check(precision == "fp32" || precision == "auto", "precision", precision, " is not available on ",
        device, " in this version; use fp32 or auto");
  return "fp32";
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
