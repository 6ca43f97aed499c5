// The references of attention, slices along an axis and larger images: by hand, and gradients
// against finite differences.
#include <doctest/doctest.h>

#include "tests/reference.h"

namespace versor::reference {
namespace {

TEST_CASE("reference: attention by hand, and its gradient") {
  // Two places of one head of one channel: q k = 0 in place 0, log 3 for (1,1) in place 1.
  const double log3 = std::log(3.0);
  const Array qkv{{1, 2, 3}, {0, 0, 5, 1, log3, 9}};
  CHECK(relative_error(Attention{1, false}.value(qkv), {{1, 2, 1}, {7, 8}}) <= 1e-14);
  CHECK(relative_error(Attention{1, true}.value(qkv), {{1, 2, 1}, {5, 8}}) <= 1e-14);
  // Two heads are two attentions beside each other.
  Random random(80);
  const Array both = random.array({2, 3, 12}, -2, 2), dy = random.array({2, 3, 4});
  Array first = zeros({2, 3, 6});
  for (int64_t i = 0; i < first.count(); ++i) first[i] = both[i / 6 * 12 + i % 6 / 2 * 4 + i % 2];
  const Array y = Attention{2, true}.value(both), y_first = Attention{1, true}.value(first);
  for (int64_t i = 0; i < y_first.count(); ++i)
    CHECK(std::abs(y[i / 2 * 4 + i % 2] - y_first[i]) <= 1e-14);
  for (const bool causal : {false, true}) {
    const Attention attention{2, causal};
    CHECK(gradient_error(
              attention.gradient(dy, both), [&](const Array& x) { return attention.value(x); },
              both, dy) <= 1e-6);
  }
}

TEST_CASE("reference: the elements along an axis, and of larger images") {
  CHECK(elements_along({2, 3}, 1, 1, 3) == Indices{1, 2, 4, 5});
  CHECK(elements_along({2, 3}, 0, 1, 2) == Indices{3, 4, 5});
  CHECK(elements_along({2, 2, 2}, 1, 0, 1) == Indices{0, 1, 4, 5});
  CHECK(upsampled_elements({1, 1, 2, 1}, 2) == Indices{0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(take_grad({{3}, {1, 2, 4}}, {1, 0, 1}, {2}).data == std::vector<double>{2, 5});
}

}  // namespace
}  // namespace versor::reference
