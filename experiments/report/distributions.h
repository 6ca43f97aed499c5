// The distributions that tests and intervals need, as functions of double. DLMF is the NIST Digital
// Library of Mathematical Functions, https://dlmf.nist.gov.
#pragma once

namespace versor {

// Regularised incomplete beta function I_x(a,b), 0 <= x <= 1, a, b > 0. DLMF 8.17.4 and 8.17.22.
double incomplete_beta(double a, double b, double x);
// P(|T| >= |t|) of Student's t with df > 0 degrees of freedom. Abramowitz and Stegun 26.7.1.
double t_two_sided(double t, double df);
// The t with P(T <= t) = p, 0 < p < 1.
double t_quantile(double p, double df);
// P(|T| >= critical) of the noncentral t: (Z + shift) / u, with Z standard normal and u^2 chi
// squared over df. This is the power of a two-sided test where the truth is `shift` standard errors
// off. By integration over u (Johnson, Kotz, Balakrishnan, vol. 2, 31.2), to about 1e-6.
double noncentral_t_two_sided(double critical, double df, double shift);
// P(X >= x) of chi squared with df > 0 degrees of freedom. DLMF 8.7.1.
double chi_squared_upper(double x, double df);

}  // namespace versor
