// Checks the double reference of broadcasting, of functions with bounds and powers, of pooling and
// of the normalisation of rows: values worked out by hand, gradients against central differences.
#include <doctest/doctest.h>

#include "tests/reference.h"

namespace {

namespace ref = versor::reference;
using ref::Array;
using ref::gradient_error;
using Function = std::function<Array(const Array&)>;

constexpr double kTolerance = 1e-6;

}  // namespace

TEST_CASE("reference: repeating along axes") {
  const Array row{{3}, {1, 2, 3}}, column{{2, 1}, {10, 20}};
  CHECK(ref::expand(row, {2, 3}).data == std::vector<double>{1, 2, 3, 1, 2, 3});
  CHECK(ref::expand(column, {2, 3}).data == std::vector<double>{10, 10, 10, 20, 20, 20});
  CHECK(ref::expand(column, {2, 2, 2}).data == std::vector<double>{10, 10, 20, 20, 10, 10, 20, 20});
  CHECK(ref::sum_to({{2, 3}, {1, 2, 3, 4, 5, 6}}, {2, 1}).data == std::vector<double>{6, 15});
  CHECK_THROWS_AS(ref::expand(row, {3, 2}), std::invalid_argument);
  ref::Random random(10);
  for (const ref::Shape& shape : {ref::Shape{}, {1}, {5}, {3, 1}, {2, 1, 5}, {4, 1, 3, 1}}) {
    const Array x = random.array(shape), dy = random.array({4, 2, 3, 5});
    const Function expand = [&](const Array& v) { return ref::expand(v, dy.shape); };
    CHECK(gradient_error(ref::sum_to(dy, shape), expand, x, dy) <= kTolerance);
  }
}

TEST_CASE("reference: bounds and powers") {
  const Array x{{4}, {-2, 0.25, 0.5, 3}}, dy{{4}, {1, -2, 3, 4}};
  CHECK(ref::clamp(x, -1, 1).data == std::vector<double>{-1, 0.25, 0.5, 1});
  CHECK(ref::pow({{2}, {4, 9}}, 1.5).data == std::vector<double>{8, 27});
  const Function clamp = [](const Array& v) { return ref::clamp(v, -1, 1); };
  const Function pow = [](const Array& v) { return ref::pow(v, -0.7); };
  const Array positive{{4}, {0.2, 1, 2, 3}};
  CHECK(gradient_error(ref::clamp_grad(dy, x, -1, 1), clamp, x, dy) <= kTolerance);
  CHECK(gradient_error(ref::pow_grad(dy, positive, -0.7), pow, positive, dy) <= kTolerance);
}

TEST_CASE("reference: pooling and the normalisation of rows") {
  const Array x{{1, 2, 4, 1}, {1, 5, 2, 2, 3, 4, 2, 0}}, one{{1, 1, 2, 1}, {1, 1}};
  CHECK(ref::Pool{2, true}.value(x).data == std::vector<double>{5, 2});
  CHECK(ref::Pool{2, false}.value(x).data == std::vector<double>{3.25, 1.5});
  CHECK(ref::Pool{2, true}.gradient(one, x).data == std::vector<double>{0, 1, 1, 0, 0, 0, 0, 0});
  CHECK(ref::RowNorm({{1, 2}, {1, 5}}, 12).value({{2}, {1, 10}}, {{2}, {0, 1}}).data ==
        std::vector<double>{-0.5, 6});
  ref::Random random(11);
  for (const bool largest : {false, true}) {
    const ref::Pool pool{2, largest};
    const Array images = random.array({2, 5, 4, 3}), dy = random.array({2, 2, 2, 3});
    const Function value = [&](const Array& v) { return pool.value(v); };
    CHECK(gradient_error(pool.gradient(dy, images), value, images, dy) <= kTolerance);
  }
  const Array rows = random.array({3, 5}), w = random.array({5}), b = random.array({5});
  const Array dy = random.array({3, 5});
  const Function norm = [&](const Array& v) { return ref::RowNorm(v, 0.1).value(w, b); };
  CHECK(gradient_error(ref::RowNorm(rows, 0.1).gradient(dy, w), norm, rows, dy) <= kTolerance);
}
