// FiniteGuard: the first step and tensor that are not finite, and what is frozen from then on.
#include <limits>

#include "autograd/functions.h"
#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Tensor good() {
  return on_device<float>({1, -2, 3e38f}, {3});
}

}  // namespace

TEST_CASE("finite guard: finite numbers, however large, are no finding") {
  Tensor step = on_device<int32_t>({0}, {1});
  FiniteGuard guard(step);
  for (int i = 0; i < 3; ++i) {
    guard.watch({{"a", good()}});
    guard.watch({{"b", good()}, {"c", ops::zeros({5}, test_device(), DType::bf16)}});
    ops::increment(step);
  }
  CHECK_FALSE(guard.found().has_value());
}

TEST_CASE("finite guard: the first step, and in it the tensor that is watched first") {
  for (float bad : {kNaN, kInfinity, -kInfinity}) {
    CAPTURE(bad);
    Tensor step = on_device<int32_t>({0}, {1});
    FiniteGuard guard(step);
    const Tensor wrong = on_device<float>({0, bad}, {2});
    for (int i = 0; i < 4; ++i) {
      guard.watch({{"a", i == 3 ? wrong : good()}});
      guard.watch({{"b", good()}, {"c", i >= 2 ? wrong : good()}, {"d", i >= 2 ? wrong : good()}});
      ops::increment(step);
    }
    REQUIRE(guard.found().has_value());
    CHECK(guard.found()->step == 2);
    CHECK(guard.found()->tensor == "c");
  }
}

TEST_CASE("finite guard: bf16, and the last of many elements") {
  FiniteGuard guard(on_device<int32_t>({7}, {1}));
  std::vector<bf16> values(70001);
  values.back() = bf16(kNaN);
  guard.watch({{"x", on_device(values, {70001})}});
  REQUIRE(guard.found().has_value());
  CHECK(guard.found()->step == 7);
  CHECK(guard.found()->tensor == "x");
}

TEST_CASE("finite guard: Adam stands still from the finding on") {
  Variable w(on_device<float>({1, 2}, {2}), true);
  Adam adam({w}, {.lr = 0.5f});
  FiniteGuard guard(on_device<int32_t>({0}, {1}));
  const auto step = [&](float slope) {
    adam.zero_grad();
    Variable loss = sum(mul(w, Variable(ops::full({2}, slope, test_device()))));
    backward(loss);
    guard.watch({{"gradient", w.grad()}});
    adam.step(guard.state());
    return w.value().to_vector<float>();
  };
  const auto first = step(1.f);
  CHECK(first[0] < 1.f);
  CHECK(step(kNaN) == first);
  CHECK(step(1.f) == first);  // a later finite gradient changes nothing
  CHECK(guard.found()->tensor == "gradient");
}

}  // namespace versor::testing
