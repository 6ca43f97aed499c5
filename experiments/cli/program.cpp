// The frame of a program: see program.h.
#include "experiments/cli/program.h"

#include <csignal>
#include <cstdio>
#include <exception>

namespace versor {
namespace {

// Prints a single line, whatever the message holds: names of files may contain line breaks and
// terminal escapes.
void print_error(std::string message) {
  for (char& c : message)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  std::fprintf(stderr, "error: %s\n", message.c_str());
}

}  // namespace

int run_program(Options& app, int argc, char** argv, const std::function<int()>& body) {
  // Reaching the file-size limit, or losing the reader of our output, should be a failed write, not
  // end the process in the middle of an epoch.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = app.parse(argc, argv) ? body() : 0;
    // What was printed may still be in a buffer, and an earlier write may have failed unseen.
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    print_error("cannot write to standard output");
    return code != 0 ? code : 1;
  } catch (const UsageError& e) {  // a wrong command line, or options that contradict each other
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
