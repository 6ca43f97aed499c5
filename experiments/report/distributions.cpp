// Distributions: see distributions.h.
#include "experiments/report/distributions.h"

#include <cmath>
#include <numbers>

namespace versor {
namespace {

constexpr double kEpsilon = 1e-15;
constexpr int kMostTerms = 10'000;

// The continued fraction 1/(1 + d1/(1 + d2/(1 + ...))) of DLMF 8.17.22, evaluated from the front by
// the modified method of Lentz (Thompson and Barnett, J. Comput. Phys. 64, 1986).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto not_zero = [](double v) { return std::fabs(v) < kTiny ? kTiny : v; };
  double value = 1, c = 1, d = 0;
  for (int n = 1; n < kMostTerms; ++n) {
    const int m = n / 2;
    const double term = n % 2 == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                   : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / not_zero(1 + term * d);
    c = not_zero(1 + term / c);
    value *= c * d;
    if (std::fabs(c * d - 1) < kEpsilon) break;
  }
  return 1 / value;
}

}  // namespace

double incomplete_beta(double a, double b, double x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  // The fraction converges fast below this point; above it the symmetry, DLMF 8.17.4.
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double log_factor =
      a * std::log(x) + b * std::log1p(-x) + std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b);
  return std::exp(log_factor) / a * beta_fraction(a, b, x);
}

double t_two_sided(double t, double df) {
  return incomplete_beta(df / 2, 0.5, df / (df + t * t));
}

double t_quantile(double p, double df) {
  if (p < 0.5) return -t_quantile(1 - p, df);
  // Newton's method from 0. The two tails are a convex function of t >= 0, because the density
  // falls, so t only grows towards the solution.
  const double log_top =
      std::lgamma((df + 1) / 2) - std::lgamma(df / 2) - 0.5 * std::log(df * std::numbers::pi);
  double t = 0;
  for (int n = 0; n < kMostTerms; ++n) {
    const double density = std::exp(log_top - (df + 1) / 2 * std::log1p(t * t / df));
    const double step = (t_two_sided(t, df) - 2 * (1 - p)) / (2 * density);
    t += step;
    if (!(step > 4 * kEpsilon * t)) break;
  }
  return t;
}

double noncentral_t_two_sided(double critical, double df, double shift) {
  constexpr int kPoints = 1000;
  const auto below = [](double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); };
  const double end = 1 + 8 / std::sqrt(df);
  double sum = 0, weights = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double u = (i + 0.5) * end / kPoints;
    // The density of u up to a factor, which is 1 at u = 1.
    const double weight = std::exp((df - 1) * std::log(u) - df * (u * u - 1) / 2);
    sum += weight * (below(shift - critical * u) + below(-shift - critical * u));
    weights += weight;
  }
  return sum / weights;
}

double chi_squared_upper(double x, double df) {
  constexpr double kNothingBeyond = 1400;  // exp(-x/2) is below the smallest double
  if (x <= 0) return 1;
  if (x > kNothingBeyond + 10 * df) return 0;
  // P(a,z) = z^a e^-z / Gamma(a+1) (1 + z/(a+1) + z^2/((a+1)(a+2)) + ...)
  const double a = df / 2, z = x / 2;
  double term = 1, sum = 1;
  for (int n = 1; n < kMostTerms && term > kEpsilon * sum; ++n) sum += term *= z / (a + n);
  return std::fmax(0, 1 - std::exp(a * std::log(z) - z - std::lgamma(a + 1)) * sum);
}

}  // namespace versor
