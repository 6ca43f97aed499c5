// Progress on stderr: see progress_line.h.
#include "experiments/run/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tensor/environment.h"

namespace versor {
namespace {

constexpr double kMostLines = 1000;  // of progress in a log file, besides one per epoch

size_t columns_of_terminal() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

// "seed1-1a2b3c4d" of "rotation-kmeans-k1024-d256-beta0.25-seed1-1a2b3c4d"; of other names the last
// 24 characters.
std::string short_name(const std::string& run) {
  const std::string name = run.substr(run.find_last_of('/') + 1);
  const size_t seed = name.rfind("seed");
  return name.substr(
      std::max(seed == name.npos ? 0 : seed, name.size() - std::min<size_t>(name.size(), 24)));
}

}  // namespace

std::string fitted(const std::vector<std::string>& fields, size_t columns) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty() && line.size() + 1 + field.size() > columns) break;
    line += (line.empty() ? "" : " ") + field;
  }
  return line.substr(0, columns);
}

ProgressLine::ProgressLine(const std::string& run) {
  const bool several = environment("SIDE_BY_SIDE").value_or("1") != "1";
  if (several) name_ = short_name(run) + ":";
  rewritten_ = !several && isatty(STDERR_FILENO);
}

bool ProgressLine::due(double seconds_of_run) const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - shown_at_;
  return passed.count() >= (rewritten_ ? 0.2 : std::max(30.0, seconds_of_run / kMostLines));
}

std::string ProgressLine::text(std::vector<std::string> fields) const {
  if (!name_.empty()) fields.insert(fields.begin(), name_);
  return fitted(fields, isatty(STDERR_FILENO) ? columns_of_terminal() : 80);
}

void ProgressLine::show(const std::vector<std::string>& fields) {
  shown_at_ = std::chrono::steady_clock::now();
  std::fprintf(stderr, rewritten_ ? "\r%s\033[K" : "%s\n", text(fields).c_str());
}

void ProgressLine::keep(const std::vector<std::string>& fields) const {
  std::fprintf(stderr, rewritten_ ? "\r\033[K%s\n" : "%s\n", text(fields).c_str());
}

}  // namespace versor
