// Checks the double reference of group normalisation: values worked out by hand, gradients against
// central differences.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "tests/reference.h"

namespace {

namespace ref = versor::reference;
using ref::Array;
using ref::gradient_error;

constexpr double kTolerance = 1e-6;

}  // namespace

TEST_CASE("reference: group normalisation") {
  // One group of {1, 3, 5, 7}: mean 4, variance 5; two groups {1, 5} and {3, 7}: variance 4.
  const Array x{{1, 1, 2, 2}, {1, 3, 5, 7}}, w{{2}, {1, 10}}, bias{{2}, {0, 100}};
  const double r = 1 / std::sqrt(5.0);
  const Array one_group = ref::group_norm(x, w, bias, 1, 0);
  CHECK(ref::relative_error(one_group, {x.shape, {-3 * r, 100 - 10 * r, r, 100 + 30 * r}}) <=
        1e-14);
  CHECK(ref::group_norm(x, w, bias, 2, 0).data == std::vector<double>{-1, 90, 1, 110});
  CHECK(ref::group_norm(x, w, bias, 2, 12).data == std::vector<double>{-0.5, 95, 0.5, 105});
  ref::Random random(7);
  for (auto [channels, groups] : {std::array<int64_t, 2>{1, 1}, {6, 1}, {6, 2}, {6, 6}}) {
    CAPTURE(channels);
    CAPTURE(groups);
    const Array images = random.array({2, 3, 2, channels}, -1, 2), dy = random.array(images.shape);
    const Array weight = random.array({channels}), b = random.array({channels});
    const auto d = ref::group_norm_grad(dy, images, weight, groups, 1e-3);
    const auto at = [&, g = groups](const Array& u, const Array& v, const Array& t) {
      return ref::group_norm(u, v, t, g, 1e-3);
    };
    const auto of_x = [&](const Array& v) { return at(v, weight, b); };
    const auto of_weight = [&](const Array& v) { return at(images, v, b); };
    const auto of_bias = [&](const Array& v) { return at(images, weight, v); };
    CHECK(gradient_error(d.x, of_x, images, dy) <= kTolerance);
    CHECK(gradient_error(d.weight, of_weight, weight, dy) <= kTolerance);
    CHECK(gradient_error(d.bias, of_bias, b, dy) <= kTolerance);
  }
}
