// What our seeds show about figures of which the paper gives one run, or few. All on natural
// logarithms: differences of logs are logs of ratios. experiments/STATISTICS.md has the assumptions
// and the sources; study/verdicts.h applies this to the paper's tables.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace versor {

// The logs of one figure over the runs of one setting.
using Logs = std::vector<double>;

// A standard deviation, and how well it is known.
struct Spread {
  double deviation = 0;
  int df = 0;  // 0: not known
};
// Of one setting: n - 1 degrees of freedom.
Spread spread_of(const Logs& logs);
// Of several settings whose true deviations are equal: the squares within each are added.
Spread pooled(const std::vector<Spread>& spreads);
// Bartlett's test (Proc. R. Soc. A 160, 1937): the probability of deviations at least so unequal if
// the true ones are equal. NaN if fewer than two are known.
double homogeneity(const std::vector<Spread>& spreads);
// The spread to use at setting `at`: pooled over all, or that of the setting itself where
// homogeneity() is below kUnequal and it has one.
constexpr double kUnequal = 0.05;
Spread spread_for(size_t at, const std::vector<Spread>& spreads);

struct Interval {
  double low = 0, high = 0;
};

// The ratio of our recipe's geometric mean to the paper's. p, intervals and half-width are NaN
// where the spread is unknown.
struct Ratio {
  double log = 0, error = 0;  // of the ratio: estimate and its standard error
  int df = 0;
  double value() const;
  Interval interval(double confidence) const;  // of the ratio
  double p() const;                            // two-sided, of a true ratio of 1
  double half_width() const;                   // of the 95 % interval; 0.1: a factor of 1.1
  // The smallest increase that a two-sided test at `level` finds in `power` of all cases; 0.1: a
  // factor of 1.1. Exact if `error` estimates the true one.
  double detectable(double level, double power = 0.8) const;
};
// Ours against theirs, of which there may be one run: variance s^2 (1/n + 1/m).
Ratio ratio_of(const Logs& ours, const Logs& theirs, const Spread& spread);

// p values for the family, adjusted by Holm (Scand. J. Statist. 6, 1979). NaN stays NaN and does
// not count.
std::vector<double> holm(const std::vector<double>& p);

constexpr const char* kEquivalent = "equivalent";
constexpr const char* kCompatible = "compatible, too wide to say more";
constexpr const char* kDiffers = "differs";
constexpr const char* kContradictory = "self-contradictory";
constexpr const char* kTooFew = "too few runs";  // no verdict: no spread is known
// `margin`: 0.1 means ratios within 0.9 and 1.1; without one nothing is equivalent. Equivalent is
// asked first: the 90 % interval lies within the margin (two one-sided tests at 5 %, Schuirmann, J.
// Pharmacokinet. Biopharm. 15, 1987). Differs: `adjusted` p below 0.05.
std::string verdict(const Ratio& ratio, double adjusted, std::optional<double> margin);

// The comparisons of one family, whose p values Holm adjusts together.
struct Comparison {
  Ratio ratio;
  std::optional<double> margin;
  double adjusted = 1;
  std::string verdict = {};
};
void judge(std::vector<Comparison>& family);

// A line of y over x, with one slope for all settings (analysis of covariance).
struct CommonSlope {
  double slope = 0;
  Spread residual;     // of y about the lines
  double squares = 0;  // of x within the settings
};
struct Pairs {
  Logs x, y;
};
CommonSlope common_slope(const std::vector<Pairs>& settings);
// The ratio of y at equal x.
Ratio adjusted_ratio(const Pairs& ours, const Pairs& theirs, const CommonSlope& line);

// The slope of the best line through the settings' means over x: a contrast of the means, whose
// error follows from the spread within the settings whether or not they lie on a line.
struct Slope {
  double value = 0, error = 0;
};
Slope slope_of_means(const std::vector<double>& x, const std::vector<Logs>& settings,
                     const Spread& spread);

// Exact permutation test of two groups of curves of equal length (a curve may be one point). The
// statistic is the square of the difference of the group means, over the variance of all curves,
// averaged over the points. p: the share of all arrangements with at least this statistic.
struct Permutation {
  double p = 1, smallest = 1;  // the smallest p that such groups can have
  int arrangements = 1;
};
Permutation permutation_test(const std::vector<Logs>& ours, const std::vector<Logs>& theirs);

}  // namespace versor
