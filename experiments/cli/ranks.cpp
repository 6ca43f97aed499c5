// Several processes of a program: see ranks.h.
#include "experiments/cli/ranks.h"

#include <cstdio>
#include <cstdlib>
#include <new>

#include "experiments/cli/options.h"
#include "tensor/environment.h"

namespace versor {

Failure failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const SharedError& e) {
    return {e.code, e.what(), true};
  } catch (const UsageError& e) {  // a wrong command line, or options that contradict each other
    return {2, std::string(e.what()) + " (see --help)"};
  } catch (const std::bad_alloc&) {
    return {1, "out of memory"};
  } catch (const std::exception& e) {
    return {1, e.what()};
  }
  return {};
}

void together(Communicator& ranks, const std::function<void()>& work) {
  if (ranks.is_alone()) return work();
  const Failure own = failure_of(work);
  const auto all = ranks.all_gather(own.code == 0 ? "" : str(own.code, " ", own.what));
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const std::string& failure = all[static_cast<size_t>(rank)];
    if (failure.empty()) continue;
    const size_t blank = failure.find(' ');
    const std::string what = failure.substr(blank + 1);
    throw SharedError(rank == 0 ? what : ranks.name_of(rank) + ": " + what,
                      std::stoi(failure.substr(0, blank)));
  }
}

void at_root(Communicator& ranks, const std::function<void()>& work) {
  together(ranks, [&] {
    if (ranks.is_root()) work();
  });
}

bool root_says(Communicator& ranks, const std::function<bool()>& question) {
  bool answer = false;
  at_root(ranks, [&] { answer = question(); });
  return ranks.largest(answer ? 1 : 0) == 1;
}

void fail_alone(Communicator& ranks, const Failure& failure) {
  print_error(ranks.name_of(ranks.rank()) + ": " + failure.what);
  std::fflush(nullptr);  // abort() may end the process at once
  ranks.abort(failure.code);
  std::_Exit(failure.code);  // g++ does not see that a virtual function does not return
}

// Names of files may contain line breaks and terminal escapes.
void print_error(std::string message) {
  for (char& c : message)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  std::fprintf(stderr, "error: %s\n", message.c_str());
}

void print_note(const std::string& lines) {
  if (is_launched_as_root()) std::fputs(lines.c_str(), stderr);
}

bool is_launched_as_root() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const auto rank = environment(name)) return *rank == "0";
  return true;
}

}  // namespace versor
