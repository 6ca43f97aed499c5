// The lines that a training prints to stderr. On a terminal the current one is rewritten; in a log
// file a new one follows from time to time. They fit the terminal's width, or 80 columns.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace versor {

// The fields separated by blanks: as many of them, from the first, as fit `columns`.
std::string fitted(const std::vector<std::string>& fields, size_t columns);

class ProgressLine {
 public:
  // Where several trainings run at a time (SIDE_BY_SIDE in the environment, from `make -jN`), every
  // line begins with the end of the run's name, the seed and hash, and none is rewritten.
  explicit ProgressLine(const std::string& run);

  // Whether it is time for a new line: five times a second on a terminal; else every half minute,
  // or less often, so that a run of so many seconds has at most 1,000 lines.
  bool due(double seconds_of_run) const;
  void show(const std::vector<std::string>& fields);        // for now
  void keep(const std::vector<std::string>& fields) const;  // once and for all

 private:
  std::string text(std::vector<std::string> fields) const;

  std::string name_;
  bool rewritten_;
  std::chrono::steady_clock::time_point shown_at_ = std::chrono::steady_clock::now();
};

}  // namespace versor
