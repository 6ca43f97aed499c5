// Summarises several seeds. What they show about a published figure: inference.h.
#pragma once

#include <string>
#include <vector>

namespace versor {

struct Summary {
  int n = 0;                       // 0: there is no value, the mean is NaN
  double mean = 0, deviation = 0;  // the sample's standard deviation; 0 for one seed
};
Summary summarize(const std::vector<double>& values);

// The median, which a single disturbed measurement does not change. Needs at least one value.
double median(std::vector<double> values);

// "0.0095 ± 0.0002", the mean alone for one seed, "failed" for none.
std::string to_text(const Summary& s, int decimals);

// "+1.5 %", from one value to another; "failed" where one of them is NaN.
std::string change_in_percent(double from, double to);

}  // namespace versor
