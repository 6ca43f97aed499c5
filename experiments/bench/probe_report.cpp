// Time budget and report of bin/probe: see probe_report.h.
#include "experiments/bench/probe_report.h"

#include <algorithm>
#include <chrono>

#include "tensor/file.h"

namespace versor {

TimeBudget::Clock TimeBudget::steady_clock() {
  return [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
}

TimeBudget TimeBudget::share(int64_t parts) const {
  return TimeBudget(left() / static_cast<double>(std::max<int64_t>(parts, 1)), clock_);
}

ProbeReport::ProbeReport(std::string path, nlohmann::ordered_json head)
    : path_(std::move(path)), all_(std::move(head)) {
  save();
}

void ProbeReport::add(const std::string& item, nlohmann::ordered_json row) {
  all_[item].push_back(std::move(row));
  save();
}

void ProbeReport::save() const {
  if (!path_.empty()) write_file(path_, all_.dump(1) + "\n", Survives::kill);
}

}  // namespace versor
