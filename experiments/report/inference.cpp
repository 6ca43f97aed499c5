// Inference from few seeds: see inference.h.
#include "experiments/report/inference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "experiments/report/distributions.h"

namespace versor {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double mean_of(const Logs& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Sum of (x - mean x)(y - mean y).
double products(const Logs& x, const Logs& y) {
  const double mean_x = mean_of(x), mean_y = mean_of(y);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean_x) * (y[i] - mean_y);
  return sum;
}

double share(size_t n) {
  return 1 / static_cast<double>(n);
}

}  // namespace

Spread spread_of(const Logs& logs) {
  const int df = std::max(0, static_cast<int>(logs.size()) - 1);
  return {df > 0 ? std::sqrt(products(logs, logs) / df) : 0, df};
}

Spread pooled(const std::vector<Spread>& spreads) {
  double squares = 0;
  int df = 0;
  for (const Spread& s : spreads) {
    squares += s.df * s.deviation * s.deviation;
    df += s.df;
  }
  return {df > 0 ? std::sqrt(squares / df) : 0, df};
}

double homogeneity(const std::vector<Spread>& spreads) {
  const Spread all = pooled(spreads);
  double statistic = 0, shares = 0;
  int known = 0;
  for (const Spread& s : spreads) {
    if (s.df == 0) continue;
    statistic += 2 * s.df * std::log(all.deviation / s.deviation);
    shares += 1.0 / s.df;
    ++known;
  }
  if (known < 2 || all.deviation == 0) return kNaN;
  statistic /= 1 + (shares - 1.0 / all.df) / (3 * (known - 1));
  return chi_squared_upper(statistic, known - 1);
}

Spread spread_for(size_t at, const std::vector<Spread>& spreads) {
  const bool unequal = homogeneity(spreads) < kUnequal;  // false for NaN
  return unequal && spreads[at].df > 0 ? spreads[at] : pooled(spreads);
}

double Ratio::value() const {
  return std::exp(log);
}

Interval Ratio::interval(double confidence) const {
  if (df == 0) return {kNaN, kNaN};
  const double half = t_quantile((1 + confidence) / 2, df) * error;
  return {std::exp(log - half), std::exp(log + half)};
}

double Ratio::p() const {
  if (df == 0) return kNaN;
  return error > 0 ? t_two_sided(log / error, df) : log == 0 ? 1 : 0;
}

double Ratio::half_width() const {
  return df == 0 ? kNaN : std::expm1(t_quantile(0.975, df) * error);
}

double Ratio::detectable(double level, double power) const {
  if (df == 0) return kNaN;
  const double critical = t_quantile(1 - level / 2, df);
  double low = 0, high = critical + 1;  // in standard errors
  while (noncentral_t_two_sided(critical, df, high) < power) high *= 2;
  while (high - low > 1e-6 * high) {
    const double middle = (low + high) / 2;
    (noncentral_t_two_sided(critical, df, middle) < power ? low : high) = middle;
  }
  return std::expm1(high * error);
}

Ratio ratio_of(const Logs& ours, const Logs& theirs, const Spread& spread) {
  return {mean_of(ours) - mean_of(theirs),
          spread.deviation * std::sqrt(share(ours.size()) + share(theirs.size())), spread.df};
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size(), kNaN);
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const auto left = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, left * p[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

std::string verdict(const Ratio& ratio, double adjusted, std::optional<double> margin) {
  if (ratio.df == 0) return kTooFew;
  const Interval within = ratio.interval(0.90);
  if (margin && within.low >= 1 - *margin && within.high <= 1 + *margin) return kEquivalent;
  return adjusted < 0.05 ? kDiffers : kCompatible;
}

void judge(std::vector<Comparison>& family) {
  std::vector<double> p;
  for (const Comparison& c : family) p.push_back(c.ratio.p());
  const std::vector<double> adjusted = holm(p);
  for (size_t i = 0; i < family.size(); ++i) {
    family[i].adjusted = adjusted[i];
    family[i].verdict = verdict(family[i].ratio, adjusted[i], family[i].margin);
  }
}

CommonSlope common_slope(const std::vector<Pairs>& settings) {
  double xx = 0, xy = 0, yy = 0;
  int df = -1;
  for (const Pairs& pairs : settings) {
    xx += products(pairs.x, pairs.x);
    xy += products(pairs.x, pairs.y);
    yy += products(pairs.y, pairs.y);
    df += std::max(0, static_cast<int>(pairs.x.size()) - 1);
  }
  if (df < 1 || !(xx > 0)) return {};
  const double rest = std::max(0.0, yy - xy * xy / xx);
  return {xy / xx, {std::sqrt(rest / df), df}, xx};
}

Ratio adjusted_ratio(const Pairs& ours, const Pairs& theirs, const CommonSlope& line) {
  const double apart = mean_of(ours.x) - mean_of(theirs.x);
  if (line.residual.df == 0) return {};
  const double variance =
      share(ours.x.size()) + share(theirs.x.size()) + apart * apart / line.squares;
  return {mean_of(ours.y) - mean_of(theirs.y) - line.slope * apart,
          line.residual.deviation * std::sqrt(variance), line.residual.df};
}

Slope slope_of_means(const std::vector<double>& x, const std::vector<Logs>& settings,
                     const Spread& spread) {
  const double centre = mean_of(x), squares = products(x, x);
  Slope slope;
  double variance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double weight = (x[i] - centre) / squares;
    slope.value += weight * mean_of(settings[i]);
    variance += weight * weight * share(settings[i].size());
  }
  slope.error = spread.deviation * std::sqrt(variance);
  return slope;
}

Permutation permutation_test(const std::vector<Logs>& ours, const std::vector<Logs>& theirs) {
  std::vector<Logs> all = ours;
  all.insert(all.end(), theirs.begin(), theirs.end());
  const size_t points = all.front().size();
  std::vector<Logs> scaled(all.size(), Logs(points));  // each point: mean 0 and variance 1
  for (size_t i = 0; i < points; ++i) {
    Logs at;
    for (const Logs& curve : all) at.push_back(curve[i]);
    const double deviation = spread_of(at).deviation, centre = mean_of(at);
    for (size_t c = 0; c < all.size(); ++c)
      scaled[c][i] = deviation > 0 ? (at[c] - centre) / deviation : 0;
  }
  // The means of the two groups follow from the sum over one of them, since all add up to 0; the
  // factor between the difference's square and the sum's is the same in every arrangement.
  std::vector<bool> chosen(all.size(), false);
  const auto statistic = [&] {
    double squares = 0;
    for (size_t i = 0; i < points; ++i) {
      double sum = 0;
      for (size_t c = 0; c < all.size(); ++c) sum += chosen[c] ? scaled[c][i] : 0;
      squares += sum * sum;
    }
    return squares;
  };
  std::fill(chosen.begin(), chosen.begin() + static_cast<int64_t>(ours.size()), true);
  const double observed = statistic() * (1 - 1e-9);  // equal arrangements differ in the last bits
  int count = 0, at_least = 0;
  do {  // from the last arrangement in lexicographic order, which is the observed one, to the first
    ++count;
    at_least += statistic() >= observed;
  } while (std::prev_permutation(chosen.begin(), chosen.end()));
  const int mirrored = ours.size() == theirs.size() ? 2 : 1;  // swapping the groups changes nothing
  return {static_cast<double>(at_least) / count, static_cast<double>(mirrored) / count, count};
}

}  // namespace versor
