// Several seeds in a few numbers. Expected numbers are worked out by hand beside each.
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

}  // namespace versor::testing
