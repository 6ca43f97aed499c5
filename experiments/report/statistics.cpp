// Statistics over seeds: see statistics.h.
#include "experiments/report/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
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

std::string verdict(const Summary& ours, double published) {
  // t(0.975, n-1) for n = 2, 3, ...; beyond, its expansion in 1/(n-1) (Abramowitz, Stegun 26.7.5).
  constexpr double kT[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                           2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093};
  if (ours.n < 3) return "inconclusive";
  const auto at = static_cast<size_t>(ours.n - 2);
  const double df = ours.n - 1;
  const double t = at < std::size(kT) ? kT[at] : 1.95996 + 2.3723 / df + 2.8225 / (df * df);
  const double half_width = t * ours.deviation * std::sqrt(1.0 + 1.0 / ours.n);
  // Asked first: an interval that is wide enough holds any figure. NaN is not precise either.
  if (!(half_width <= 0.25 * std::fabs(published))) return "inconclusive";
  return std::fabs(published - ours.mean) <= half_width ? "agrees" : "differs";
}

}  // namespace versor
