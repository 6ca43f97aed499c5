// Frame of a program: see program.h.
#include "experiments/cli/program.h"

#include <csignal>
#include <cstdio>
#include <exception>

#include "tensor/backend.h"

namespace versor {
namespace {

// One line, whatever the message holds: names of files may have line breaks and commands to a
// terminal in them.
void print_error(std::string message) {
  for (char& c : message)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  std::fprintf(stderr, "error: %s\n", message.c_str());
}

}  // namespace

Option add_precision_option(Options& app, std::string& precision) {
  return app.add_option("--precision", precision, "of activations and products")
      ->check(one_of({"auto", "fp32", "tf32", "bf16"}))
      ->capture_default_str();
}

Option add_memory_option(Options& app, std::string& limit) {
  return app
      .add_option("--max-memory", limit,
                  "for tensors on the device, as 500M or 4G; default what there is")
      ->check(kMemorySize);
}

void limit_memory(const std::string& limit, Device device) {
  if (const auto bytes = parse_bytes(limit)) backend_for(device).pool().set_limit(*bytes);
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
  // Beside bf16 activations f32 products are those of the nearest-code search, exact either way,
  // and the maps, logits and mixtures of quantizers that have them.
  backend.configure({.tf32 = chosen != "fp32" && info.has_tf32, .deterministic = deterministic});
  return chosen;
}

DType activations_of(const std::string& precision) {
  return precision == "bf16" ? DType::bf16 : DType::f32;
}

int run_program(Options& app, int argc, char** argv, const std::function<int()>& body) {
  // A file that may not grow, and a reader of our output that went away, are errors of a write: no
  // reason to die in the middle of an epoch.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return app.parse(argc, argv) ? body() : 0;
  } catch (const UsageError& e) {  // of the command line, or of options that contradict each other
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
