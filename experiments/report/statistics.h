// Several seeds as one figure, and what they say about a published one.
#pragma once

#include <string>
#include <vector>

namespace versor {

struct Summary {
  int n = 0;                       // 0: there is no value, the mean is NaN
  double mean = 0, deviation = 0;  // the sample's standard deviation; 0 for one seed
};
Summary summarize(const std::vector<double>& values);

// The middle one of times, which a disturbed measurement does not move. At least one is needed.
double median(std::vector<double> values);

// "0.0095 ± 0.0002", the mean alone for one seed, "failed" for none.
std::string to_text(const Summary& s, int decimals);

// "+1.5 %", from one value to another; "failed" where one of them is NaN.
std::string change_in_percent(double from, double to);

// What n seeds say of a published value, which is one more draw if the paper's run was like ours:
// it falls within mean +- t(0.975, n-1) * s * sqrt(1 + 1/n) in 95 % of cases (prediction interval).
//   inconclusive  that half-width exceeds 25 % of the published value, or there are under 3 seeds
//   agrees        else, where the value lies in the interval
//   differs       else
std::string verdict(const Summary& ours, double published);

}  // namespace versor
