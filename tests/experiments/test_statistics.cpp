// Several seeds against one published figure. Expected numbers are worked out by hand beside each.
#include <doctest/doctest.h>

#include <cmath>

#include "experiments/report/statistics.h"

namespace versor::testing {

TEST_CASE("statistics: mean and the sample's standard deviation") {
  // Mean 5; squares 9+1+1+1+0+0+4+16 = 32; 32 / 7.
  const Summary s = summarize({2, 4, 4, 4, 5, 5, 7, 9});
  CHECK(s.n == 8);
  CHECK(s.mean == doctest::Approx(5).epsilon(1e-14));
  CHECK(s.deviation == doctest::Approx(std::sqrt(32.0 / 7)).epsilon(1e-14));
  const Summary one = summarize({3.5});
  CHECK(one.n == 1);
  CHECK(one.mean == 3.5);
  CHECK(one.deviation == 0);
  CHECK(summarize({1, 1, 1}).deviation == 0);
}

TEST_CASE("statistics: a small spread beside a large mean keeps its digits") {
  const Summary s = summarize({1e8 + 1, 1e8 + 2, 1e8 + 3});
  CHECK(s.mean == doctest::Approx(1e8 + 2).epsilon(1e-15));
  CHECK(s.deviation == doctest::Approx(1).epsilon(1e-6));
}

TEST_CASE("statistics: as text") {
  CHECK(to_text({3, 0.00949, 0.000151}, 4) == "0.0095 ± 0.0002");
  CHECK(to_text({2, 336.333, 82.42}, 2) == "336.33 ± 82.42");
  CHECK(to_text({1, 0.00949, 0}, 4) == "0.0095");
  CHECK(to_text({5, 1, 0}, 1) == "1.0 ± 0.0");
}

// n = 3: half-width 4.303 * sqrt(4/3) s = 4.9687 s.
TEST_CASE("verdict: agrees within the prediction interval, and only there") {
  const Summary ours{3, 0.0100, 0.0002};  // 0.0100 -+ 0.00099374
  CHECK(verdict(ours, 0.0100) == "agrees");
  CHECK(verdict(ours, 0.01099) == "agrees");
  CHECK(verdict(ours, 0.00901) == "agrees");
  CHECK(verdict(ours, 0.01100) == "differs");
  CHECK(verdict(ours, 0.00900) == "differs");
}

TEST_CASE("verdict: the factors of 3, 5 and more seeds") {
  // s = 1 around 100, precise enough: 100 + x agrees up to the factor t * sqrt(1 + 1/n) itself.
  // t(0.975, df): 4.30265 (2), 2.77645 (4), 2.26216 (9), 2.09302 (19), 2.08596 (20), 2.02269 (39).
  const std::pair<int, double> factors[] = {{3, 4.9683},  {5, 3.0415},  {10, 2.3726},
                                            {20, 2.1447}, {21, 2.1351}, {40, 2.0478}};
  for (const auto& [n, factor] : factors) {
    CAPTURE(n);
    CHECK(verdict({n, 100, 1}, 100 + factor - 0.002) == "agrees");
    CHECK(verdict({n, 100, 1}, 100 - factor + 0.002) == "agrees");
    CHECK(verdict({n, 100, 1}, 100 + factor + 0.002) == "differs");
    CHECK(verdict({n, 100, 1}, 100 - factor - 0.002) == "differs");
  }
}

TEST_CASE("verdict: inconclusive where the half-width exceeds a quarter of the published value") {
  // n = 3, published 1: the limit is at s = 0.25 / 4.9687 = 0.050315.
  CHECK(verdict({3, 2, 0.0503}, 1) == "differs");
  CHECK(verdict({3, 2, 0.0504}, 1) == "inconclusive");
  CHECK(verdict({3, -2, 0.0503}, -1) == "differs");
  CHECK(verdict({3, -2, 0.0504}, -1) == "inconclusive");
  // Precision is asked first: within a wide interval, or exactly on the mean, nothing is shown.
  CHECK(verdict({3, 1.1, 0.0503}, 1) == "agrees");
  CHECK(verdict({3, 1.1, 0.0504}, 1) == "inconclusive");
  CHECK(verdict({3, 1, 0.3}, 1) == "inconclusive");
  CHECK(verdict({3, 0, 1}, 0) == "inconclusive");
  CHECK(verdict({3, 1, std::nan("")}, 1) == "inconclusive");
}

TEST_CASE("verdict: one or two seeds prove nothing") {
  CHECK(verdict({1, 0.01, 0}, 0.01) == "inconclusive");
  CHECK(verdict({2, 0.01, 1e-9}, 0.01) == "inconclusive");
  CHECK(verdict({2, 0.01, 1e-9}, 0.09) == "inconclusive");
}

// The paper's beta = 0.25, K = 1024, 50 epochs, was run three times. Around its own totals, the
// half-width is 0.010897: a quarter of 0.0436 or more.
TEST_CASE("verdict: the published triple") {
  const Summary total = summarize({0.0475, 0.0516, 0.0482});
  CHECK(total.mean == doctest::Approx(0.0491).epsilon(1e-12));
  CHECK(total.deviation == doctest::Approx(0.0021932).epsilon(1e-4));
  CHECK(verdict(total, 0.0516) == "agrees");
  CHECK(verdict(total, 0.0601) == "differs");       // 0.0110 away
  CHECK(verdict(total, 0.0430) == "inconclusive");  // 0.0061 away, but a quarter is 0.0108
}

}  // namespace versor::testing
