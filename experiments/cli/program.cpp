// The frame of a program: see program.h.
#include "experiments/cli/program.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "experiments/cli/host_share.h"

namespace versor {
namespace {

// Reaching the file-size limit, or losing the reader of our output, should be a failed write, not
// end the process in the middle of an epoch.
void ignore_signals_of_writing() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

// What was printed may still be in a buffer, and an earlier write may have failed unseen.
int code_after_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  print_error("cannot write to standard output");
  return code != 0 ? code : 1;
}

// The body on one of several ranks.
int run_together(Options& app, int argc, char** argv, Communicator& ranks,
                 const std::function<int(Communicator&)>& body) {
  bool ends = false;
  together(ranks, [&] { ends = !app.parse(argc, argv); });
  return ranks.largest(ends) != 0 ? 0 : body(ranks);
}

}  // namespace

int run_program(Options& app, int argc, char** argv, const std::function<int()>& body) {
  ignore_signals_of_writing();
  if (is_launched()) {
    const std::string program = argv[0];
    if (is_launched_as_root())
      print_error(program.substr(program.rfind('/') + 1) +
                  " works in one process: start it without mpirun or srun");
    return 2;
  }
  int code = 0;
  const Failure failure = failure_of([&] {
    if (app.parse(argc, argv)) code = body();
    code = code_after_output(code);
  });
  if (failure.code == 0) return code;
  print_error(failure.what);
  return failure.code;
}

int run_parallel_program(Options& app, int argc, char** argv,
                         const std::function<int(Communicator&)>& body) {
  if (!is_launched()) return run_program(app, argc, argv, [&] { return body(alone()); });
  ignore_signals_of_writing();
  std::unique_ptr<Communicator> ranks;
  Failure failure = failure_of([&] { ranks = join_launched(); });
  if (failure.code != 0) {  // of this rank alone, unless the build has no MPI
    if (has_mpi() || is_launched_as_root()) print_error(failure.what);
    return failure.code;
  }
  // Until a training takes such signals (InterruptGuard), a launcher's request ends the program.
  std::signal(SIGUSR1, [](int) { _exit(kInterrupted); });
  int code = 0;
  failure = failure_of([&] {
    if (!ranks->is_root())
      check(std::freopen("/dev/null", "w", stdout) != nullptr, "run", "no /dev/null");
    take_gpu(*ranks);
    code = code_after_output(run_together(app, argc, argv, *ranks, body));
  });
  if (failure.code == 0) return code;
  if (!failure.shared) fail_alone(*ranks, failure);
  if (ranks->is_root()) print_error(failure.what);
  return failure.code;
}

}  // namespace versor
