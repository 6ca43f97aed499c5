// Starts the programs under test as processes of their own, as a user's shell would.
//   const Ended ended = run("train --codes 0");
//   CHECK(ended.code == 2);
// They come from the folder in the environment variable VERSOR_BIN, which `make test` sets. Without
// it, test cases with `* doctest::skip(without_programs())` are skipped.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tensor/environment.h"
#include "tensor/file.h"
#include "tests/data/temporary_folder.h"

namespace versor::testing {

// VERSOR_BIN as an absolute path; "" if it is not set.
inline std::string program_folder() {
  const std::optional<std::string> folder = environment("VERSOR_BIN");
  return folder ? std::filesystem::absolute(*folder).string() : "";
}

// For a decorator: true if there are no programs to start, which is reported once.
inline bool without_programs() {
  static const bool without = [] {
    const bool none = program_folder().empty();
    if (none) std::fprintf(stderr, "skipped: VERSOR_BIN is not set; tests that start programs\n");
    return none;
  }();
  return without;
}

inline std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> all;
  for (std::string word; in >> word;) all.push_back(word);
  return all;
}

inline std::vector<std::string> lines(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

struct Ended {
  int code = -1;    // exit code; -1 if a signal ended it
  int signal = 0;   // that signal
  std::string out;  // standard output
  std::string err;  // standard error
};

// A running program. It is killed if it still runs when this goes away.
class Process {
 public:
  // `command`: program of VERSOR_BIN and its arguments, separated by blanks ("sh" is the system's).
  // `environment`: variables to change, as "NAME=value". `folder`: where it runs; a new one by
  // default.
  explicit Process(const std::string& command, const std::vector<std::string>& environment = {},
                   const std::string& folder = "") {
    std::vector<std::string> arguments = words(command);
    if (arguments[0] != "sh") arguments[0] = program_folder() + "/" + arguments[0];
    std::vector<std::string> variables = environment_with(environment, files_ / "cache");
    const std::string where = folder.empty() ? files_ / "here" : folder;
    std::filesystem::create_directories(where);
    const std::string out = files_ / "out", err = files_ / "err";
    const std::vector<char*> argv = pointers(arguments), envp = pointers(variables);
    id_ = fork();
    if (id_ == 0) become(argv, envp, where.c_str(), out.c_str(), err.c_str());
    INFO("starting " << arguments[0]);
    REQUIRE(id_ > 0);
    running_ = true;
  }
  ~Process() {
    if (!running_) return;
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() {
    int status = 0;
    if (!running_ || waitpid(id_, &status, WNOHANG) == 0) return running_;
    running_ = false;
    if (WIFEXITED(status)) ended_.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) ended_.signal = WTERMSIG(status);
    ended_.out = read_file(files_ / "out");
    ended_.err = read_file(files_ / "err");
    return false;
  }

  void send(int signal) {
    if (running()) kill(id_, signal);
  }

  // Waits for the end. A program that takes longer than `limit` hangs and is killed.
  Ended wait(std::chrono::seconds limit = std::chrono::seconds(120)) {
    const auto start = std::chrono::steady_clock::now();
    while (running()) {
      if (std::chrono::steady_clock::now() - start > limit) send(SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return ended_;
  }

 private:
  // In the new process: only calls that are safe after a fork, then the program.
  [[noreturn]] static void become(const std::vector<char*>& argv, const std::vector<char*>& envp,
                                  const char* where, const char* out, const char* err) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // no program outlives tests that are killed
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    const bool ready = dup2(open("/dev/null", O_RDONLY), 0) == 0 &&
                       dup2(open(out, flags, 0644), 1) == 1 &&
                       dup2(open(err, flags, 0644), 2) == 2 && chdir(where) == 0;
    if (ready) execvpe(argv[0], argv.data(), envp.data());
    _exit(127);
  }

  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
  }

  // This process's environment without the variables that would change what programs do or print.
  // Decoded pictures go to `cache`, not to the user's, unless it is changed.
  static std::vector<std::string> environment_with(std::vector<std::string> changes,
                                                   const std::string& cache) {
    const auto of_cache = [](const std::string& c) { return c.starts_with("XDG_CACHE_HOME="); };
    if (std::none_of(changes.begin(), changes.end(), of_cache))
      changes.push_back("XDG_CACHE_HOME=" + cache);
    std::vector<std::string> all = changes;
    const auto name = [](const std::string& entry) { return entry.substr(0, entry.find('=')); };
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string own = name(*entry);
      const bool changed = std::any_of(changes.begin(), changes.end(),
                                       [&](const std::string& c) { return name(c) == own; });
      if (!changed && own != "CIFAR10_DIR" && own != "VERSOR_TRACE") all.push_back(*entry);
    }
    return all;
  }

  TemporaryFolder files_;
  pid_t id_ = 0;
  bool running_ = false;
  Ended ended_;
};

inline Ended run(const std::string& command, const std::vector<std::string>& environment = {},
                 const std::string& folder = "",
                 std::chrono::seconds limit = std::chrono::seconds(120)) {
  return Process(command, environment, folder).wait(limit);
}

// Every file below a folder with its modification time and (up to a megabyte) its content: two
// snapshots are equal if nothing was written in between.
inline std::map<std::string, std::string> tree(const std::string& folder) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> all;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    std::string& text = all[entry.path().string()];
    if (!entry.is_regular_file()) continue;
    text = std::to_string(entry.last_write_time().time_since_epoch().count()) + "\n" +
           std::to_string(entry.file_size()) + "\n";
    if (entry.file_size() <= 1 << 20) text += read_file(entry.path().string());
  }
  return all;
}

// The one line that a failed program prints to standard error; the test fails if it is not one
// line.
inline std::string error_line(const Ended& ended) {
  CAPTURE(ended.err);
  CHECK(lines(ended.err).size() == 1);
  CHECK(ended.err.starts_with("error: "));
  CHECK(ended.err.ends_with("\n"));
  return ended.err;
}

// A training that takes a tenth of a second: 16 steps an epoch. `more` adds options.
inline std::string tiny(const std::string& folder, const std::string& more = "",
                        const std::string& threads = "1") {
  return "train --data synthetic --latent 8 --codes 8 --train-images 256 --test-images 32 "
         "--batch-size 16 --threads " +
         threads + " --out " + folder + " " + more;
}
constexpr int kTinySteps = 16;

}  // namespace versor::testing
