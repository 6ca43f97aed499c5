// Statistics over seeds: see statistics.h.
#include "experiments/report/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace versor {

Summary summarize(const std::vector<double>& values) {
  Summary s;
  s.n = static_cast<int>(values.size());
  if (s.n == 0) s.mean = std::numeric_limits<double>::quiet_NaN();
  for (double v : values) s.mean += v / s.n;
  if (s.n < 2) return s;
  double squares = 0;
  for (double v : values) squares += (v - s.mean) * (v - s.mean);
  s.deviation = std::sqrt(squares / (s.n - 1));
  return s;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string to_text(const Summary& s, int decimals) {
  if (s.n == 0) return "failed";
  return s.n < 2 ? fmt::format("{:.{}f}", s.mean, decimals)
                 : fmt::format("{:.{}f} ± {:.{}f}", s.mean, decimals, s.deviation, decimals);
}

std::string change_in_percent(double from, double to) {
  const double change = 100 * (to / from - 1);
  return std::isnan(change) ? "failed" : fmt::format("{:+.1f} %", change);
}

}  // namespace versor
