// Few runs against few. Expected numbers come from published tables or are worked out beside each.
#include <doctest/doctest.h>

#include <cmath>

#include "experiments/report/distributions.h"
#include "experiments/report/inference.h"

namespace versor::testing {
namespace {

using doctest::Approx;

// A ratio whose 95 % interval on logs is -+ 0.2.
Ratio precise(double value) {
  return {std::log(value), 0.2 / t_quantile(0.975, 20), 20};
}

}  // namespace

TEST_CASE("distributions: Student's t, chi squared and the beta function as in printed tables") {
  // Abramowitz and Stegun, table 26.10, and R's qt() for further digits.
  const struct {
    double p, df, t;
  } quantiles[] = {{0.975, 1, 12.7062047364},  {0.975, 2, 4.30265272975},
                   {0.975, 4, 2.77644510520},  {0.95, 9, 1.83311293265},
                   {0.975, 20, 2.08596344727}, {0.9995, 3, 12.9239786367},
                   {0.975, 1e7, 1.959964}};
  for (const auto& q : quantiles) {
    CAPTURE(q.df);
    CHECK(t_quantile(q.p, q.df) == Approx(q.t).epsilon(2e-7));
    CHECK(t_quantile(1 - q.p, q.df) == Approx(-q.t).epsilon(2e-7));
    CHECK(t_two_sided(q.t, q.df) == Approx(2 * (1 - q.p)).epsilon(1e-6));
  }
  CHECK(t_quantile(0.5, 3) == 0);
  CHECK(t_two_sided(0, 3) == 1);
  CHECK(t_two_sided(-2, 3) == t_two_sided(2, 3));
  // The upper 5 % and 1 % points, table 26.8.
  CHECK(chi_squared_upper(3.841458821, 1) == Approx(0.05).epsilon(1e-8));
  CHECK(chi_squared_upper(18.307038053, 10) == Approx(0.05).epsilon(1e-8));
  CHECK(chi_squared_upper(13.276704136, 4) == Approx(0.01).epsilon(1e-8));
  CHECK(chi_squared_upper(3, 2) == Approx(std::exp(-1.5)).epsilon(1e-12));
  CHECK(chi_squared_upper(0, 3) == 1);
  CHECK(chi_squared_upper(INFINITY, 3) == 0);
  // A polynomial for whole numbers: I_x(2,3) = 6x^2 - 8x^3 + 3x^4.
  for (double x : {0.0, 0.1, 0.4, 0.7, 1.0})
    CHECK(incomplete_beta(2, 3, x) ==
          Approx(6 * x * x - 8 * x * x * x + 3 * x * x * x * x).epsilon(1e-12));
}

TEST_CASE("inference: squares within settings are pooled, unless the spreads are unequal") {
  const Spread a = spread_of({1, 2, 3}), b = spread_of({0, 4}), none = spread_of({7});
  CHECK(a.deviation == Approx(1));
  CHECK(a.df == 2);
  CHECK(none.df == 0);
  const Spread all = pooled({a, b, none});  // (2 * 1 + 1 * 8) / 3
  CHECK(all.deviation == Approx(std::sqrt(10.0 / 3)));
  CHECK(all.df == 3);
  CHECK(pooled({none}).df == 0);
  // Variances 1 and 4 with 2 degrees of freedom each, 2.5 pooled: (4 ln 2.5 - 2 ln 4) / 1.25. With
  // one degree of freedom chi squared is the square of a normal number.
  const double statistic = (4 * std::log(2.5) - 2 * std::log(4)) / 1.25;
  CHECK(homogeneity({{1, 2}, {2, 2}}) == Approx(std::erfc(std::sqrt(statistic / 2))));
  CHECK(std::isnan(homogeneity({a, none})));
  CHECK(spread_for(0, {{1, 2}, {2, 2}}).df == 4);
  const std::vector<Spread> unequal = {{1, 4}, {100, 4}, {0, 0}};
  CHECK(spread_for(1, unequal).deviation == 100);
  CHECK(spread_for(1, unequal).df == 4);
  CHECK(spread_for(2, unequal).df == 8);  // it has none of its own
}

TEST_CASE("inference: a ratio to one run has the variance of a prediction") {
  const Ratio one = ratio_of({0.1, 0.2, 0.3}, {0.1}, {0.3, 2});
  CHECK(one.value() == Approx(std::exp(0.1)));
  CHECK(one.error == Approx(0.3 * std::sqrt(1 + 1.0 / 3)));
  const Interval interval = one.interval(0.95);
  CHECK(interval.high == Approx(std::exp(0.1 + 4.30265273 * one.error)));
  CHECK(interval.low == Approx(std::exp(0.1 - 4.30265273 * one.error)));
  CHECK(one.half_width() == Approx(std::exp(4.30265273 * one.error) - 1));
  CHECK(ratio_of({0, 0}, {0, 0, 0}, {1, 3}).error == Approx(std::sqrt(1.0 / 2 + 1.0 / 3)));
  // R's power.t.test(n = 20, delta = 1): 38 degrees of freedom, sqrt(10) errors, power 0.8689528.
  CHECK(noncentral_t_two_sided(t_quantile(0.975, 38), 38, std::sqrt(10)) ==
        Approx(0.8689528).epsilon(1e-6));
  CHECK(noncentral_t_two_sided(4.30265273, 2, 0) == Approx(0.05).epsilon(1e-4));
  CHECK(Ratio{0, 0.1, 38}.detectable(0.05, 0.8689528) ==
        Approx(std::expm1(0.1 * std::sqrt(10))).epsilon(1e-5));
  const Ratio unknown = ratio_of({0.1}, {0.2}, {});
  for (double nan :
       {unknown.p(), unknown.half_width(), unknown.detectable(0.05), unknown.interval(0.9).low})
    CHECK(std::isnan(nan));
  CHECK(unknown.value() == Approx(std::exp(-0.1)));
}

TEST_CASE("inference: Holm's adjustment") {
  CHECK(holm({0.01, 0.04, 0.03}) == std::vector<double>{0.03, 0.06, 0.06});
  CHECK(holm({0.5, 0.9}) == std::vector<double>{1, 1});
  const auto with_none = holm({0.02, std::nan(""), 0.04});
  CHECK(with_none[0] == 0.04);
  CHECK(std::isnan(with_none[1]));
  CHECK(with_none[2] == 0.04);
}

// The 90 % interval's half-width is 0.2 * 1.7247 / 2.0860 = 0.1654 on logs.
TEST_CASE("verdict: each of them, and no verdict without a spread") {
  CHECK(verdict(precise(1.0), 1, 0.25) == kEquivalent);
  CHECK(verdict(precise(1.055), 1, 0.25) == kEquivalent);  // up to 1.245
  CHECK(verdict(precise(1.065), 1, 0.25) == kCompatible);  // 1.257
  CHECK(verdict(precise(0.89), 1, 0.25) == kEquivalent);   // down to 0.754
  CHECK(verdict(precise(0.88), 1, 0.25) == kCompatible);   // 0.746
  CHECK(verdict(precise(1.0), 1, {}) == kCompatible);      // no margin was fixed
  CHECK(verdict(precise(1.0), 1, 0.10) == kCompatible);    // too wide for this one
  CHECK(verdict(precise(1.3), 0.049, 0.25) == kDiffers);
  CHECK(verdict(precise(1.3), 0.051, 0.25) == kCompatible);
  // A difference that is there, but smaller than matters.
  CHECK(verdict({0.02, 0.001, 20}, 1e-9, 0.10) == kEquivalent);
  CHECK(verdict({0, 1, 0}, std::nan(""), 0.10) == kTooFew);
}

TEST_CASE("verdict: one that differs on its own may not in its family") {
  // t = 2.3 with 20 degrees of freedom: p = 0.032, three times that is 0.097.
  std::vector<Comparison> family(3, {Ratio{0, 0.1, 20}, {}});
  family[0].ratio.log = 0.23;
  judge(family);
  CHECK(family[0].adjusted == Approx(3 * family[0].ratio.p()));
  CHECK(family[0].verdict == kCompatible);
  family[0].ratio.log = 0.28;  // p = 0.011
  judge(family);
  CHECK(family[0].verdict == kDiffers);
  CHECK(family[1].verdict == kCompatible);
}

// x = -1, 0, 1, y = 0.6, -0.2, -0.4: Sxx 2, Sxy -1, Syy 0.56; 0.56 - 0.5 remain, df 3 - 1 - 1.
TEST_CASE("inference: figures at equal use of codes") {
  const Pairs ours{{-1, 0, 1}, {0.6, -0.2, -0.4}}, theirs{{1}, {-0.5}};
  const CommonSlope line = common_slope({ours, theirs});
  CHECK(line.slope == Approx(-0.5));
  CHECK(line.squares == Approx(2));
  CHECK(line.residual.df == 1);
  CHECK(line.residual.deviation == Approx(std::sqrt(0.06)));
  // At their x our line is at -0.5: no difference. Its error there: 1/3 + 1 + 1/2.
  const Ratio ratio = adjusted_ratio(ours, theirs, line);
  CHECK(ratio.log == Approx(0));
  CHECK(ratio.error == Approx(std::sqrt(0.06 * (1.0 / 3 + 1 + 1.0 / 2))));
  CHECK(ratio.df == 1);
  CHECK(adjusted_ratio(ours, theirs, common_slope({theirs})).df == 0);
}

// Means 0, 1, 2 at x = 0, 1, 2 of two runs each: weights -1/2, 0, 1/2.
TEST_CASE("inference: the slope of means, with the spread within the settings") {
  const Slope slope = slope_of_means({0, 1, 2}, {{-1, 1}, {0, 2}, {1, 3}}, {1, 3});
  CHECK(slope.value == Approx(1));
  CHECK(slope.error == Approx(0.5));
}

TEST_CASE("permutation test: exact on tiny groups, with the smallest p that they can have") {
  // Three ways to single out one of three; only the observed one has the largest difference.
  const Permutation three = permutation_test({{0}, {1}}, {{10}});
  CHECK(three.arrangements == 3);
  CHECK(three.p == Approx(1.0 / 3));
  CHECK(three.smallest == Approx(1.0 / 3));
  // The middle one of three: the others lie farther out.
  CHECK(permutation_test({{0}, {2}}, {{1}}).p == 1);
  const std::vector<Logs> low = {{0, 0}, {1, 2}, {2, 1}}, high = {{10, 10}, {11, 12}, {12, 11}};
  CHECK(permutation_test(low, high).p == Approx(2.0 / 20));  // and the two groups exchanged
  CHECK(permutation_test(low, high).smallest == Approx(2.0 / 20));
  const std::vector<Logs> five = {{0, 0}, {1, 2}, {2, 1}, {1, 1}, {0, 2}};
  CHECK(permutation_test(five, high).p == Approx(1.0 / 56));
  CHECK(permutation_test(five, high).smallest == Approx(1.0 / 56));
  CHECK(permutation_test(five, high).arrangements == 56);
  // A point where all curves are equal says nothing.
  CHECK(permutation_test({{5, 0}, {5, 1}}, {{5, 10}}).p == Approx(1.0 / 3));
}

}  // namespace versor::testing
