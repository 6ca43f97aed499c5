// What a measurement on a rented machine needs, which may end at any moment: a budget of time that
// its parts share, and a report whose file is whole after every row.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace versor {

class TimeBudget {
 public:
  using Clock = std::function<double()>;  // seconds
  explicit TimeBudget(double seconds, Clock clock = steady_clock())
      : clock_(std::move(clock)), seconds_(seconds), end_(clock_() + seconds) {}

  double left() const { return end_ - clock_(); }
  bool is_over() const { return left() <= 0; }
  double share_left() const { return is_over() ? 0 : left() / seconds_; }  // from 1 to 0
  // For the first of `parts` parts that have this time together. What a part leaves over, the later
  // ones get.
  TimeBudget share(int64_t parts) const;
  // The same time but for the last seconds, which later things need.
  TimeBudget except(double seconds) const { return TimeBudget(left() - seconds, clock_); }

 private:
  static Clock steady_clock();

  Clock clock_;
  double seconds_, end_;
};

class ProbeReport {
 public:
  // Throws Error if the file cannot be written; "": no file.
  ProbeReport(std::string path, nlohmann::ordered_json head);
  // Appends to the list `item`, and writes the file.
  void add(const std::string& item, nlohmann::ordered_json row);

 private:
  void save() const;

  std::string path_;
  nlohmann::ordered_json all_;
};

}  // namespace versor
