// An input that needs no gradient costs nothing in the backward pass: counted in calls of
// primitives.
#include <map>
#include <set>

#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using Calls = std::map<std::string, int64_t>;

struct WayBack {
  Calls calls;
  std::vector<Variable> inputs;
};

// Runs a case with gradients for all inputs but `frozen` (-1: for all).
WayBack run_without(const OperationCase& c, const Arrays& values, const ref::Array& dy,
                    int frozen) {
  WayBack result;
  for (const ref::Array& value : values)
    result.inputs.emplace_back(to_tensor(value), static_cast<int>(result.inputs.size()) != frozen);
  const Variable loss = sum(mul(c.forward(result.inputs), Variable(to_tensor(dy))));
  Profile profile;
  backward(loss);
  for (const auto& [name, entry] : profile.entries()) result.calls[name] = entry.calls;
  return result;
}

TEST_CASE("frozen: no function computes a gradient that nobody needs") {
  // These inputs get dy itself, or something that another input needs too.
  const std::set<std::pair<std::string, int>> free{
      {"add", 0},      {"add", 1}, {"add_relu", 0}, {"add_relu", 1}, {"sub", 0},
      {"add_bias", 0}, {"div", 0}, {"conv2d", 3},   {"maximum", 0},  {"minimum", 0}};
  uint64_t seed = 40;
  for (const OperationCase& c : operation_cases()) {
    if (c.inputs.size() < 2) continue;
    CAPTURE(c.name);
    const Arrays values = draw_inputs(c, seed++);
    ref::Random random(seed);
    const ref::Array dy = random_array(random, to_shape(c.reference(values).shape));
    const WayBack all = run_without(c, values, dy, -1);
    for (int frozen = 0; frozen < static_cast<int>(c.inputs.size()); ++frozen) {
      CAPTURE(frozen);
      const WayBack fewer = run_without(c, values, dy, frozen);
      // The gradient of an input that was repeated is summed first.
      const bool repeated =
          fewer.inputs[frozen].shape() != to_shape(dy.shape) && contains(c.name, " and ");
      CHECK((fewer.calls == all.calls) == (free.contains({c.function(), frozen}) && !repeated));
      for (int i = 0; i < static_cast<int>(c.inputs.size()); ++i) {
        CHECK(fewer.inputs[i].grad().defined() == (i != frozen));
        if (i != frozen) CHECK((bits_of(fewer.inputs[i].grad()) == bits_of(all.inputs[i].grad())));
      }
    }
  }
}

TEST_CASE("frozen: a convolution with frozen parameters lets the gradient through, no more") {
  const Variable x(ops::full({2, 6, 6, 3}, 0.5f, test_device()), true);
  const Variable bias(ops::full({4}, 0.1f, test_device()));
  for (const bool transposed : {false, true}) {
    const Shape shape = transposed ? Shape{3, 3, 3, 4} : Shape{4, 3, 3, 3};
    const Variable weight(ops::full(shape, 0.1f, test_device()));
    const Variable y = transposed ? conv_transpose2d(x, weight, bias, {1, 0}, Activation::relu)
                                  : conv2d(x, weight, bias, {1, 0}, Activation::relu);
    const Variable loss = sum(y);
    Profile profile;
    backward(loss);
    CHECK(profile.entries().count("conv2d_grad_weight") == 0);
    CHECK(profile.entries().count("bias_relu_grad") == 0);
    CHECK(profile.entries().count("sum_axis0") == 0);
    CHECK(profile.entries().at(transposed ? "conv2d" : "conv2d_grad_input").calls == 1);
    CHECK(x.grad().defined());
    CHECK_FALSE(weight.grad().defined());
    CHECK_FALSE(bias.grad().defined());
  }
}

TEST_CASE("frozen: where nothing below needs a gradient the way back ends") {
  const Variable image(ops::full({2, 6, 6, 3}, 0.5f, test_device()));
  const Variable frozen(ops::full({4, 3, 3, 3}, 0.1f, test_device()));
  const Variable trained(ops::full({2, 3, 3, 4}, 0.1f, test_device()), true);
  const Variable loss = sum(conv2d(conv2d(image, frozen, {}, {1, 0}), trained, {}, {1, 0}));
  Profile profile;
  backward(loss);
  CHECK(profile.entries().at("conv2d_grad_weight").calls == 1);
  CHECK(profile.entries().count("conv2d_grad_input") == 0);
  CHECK(trained.grad().defined());
}

TEST_CASE("frozen: a leaf can be frozen and thawed, a result cannot") {
  Variable a(ops::full({2}, 3.f, test_device()), true), b(ops::full({2}, 2.f, test_device()), true);
  const Variable before = mul(a, b);
  a.set_requires_grad(false);
  backward(sum(mul(a, b)));
  CHECK_FALSE(a.grad().defined());
  CHECK(b.grad().to_vector<float>() == std::vector<float>{3, 3});
  backward(sum(before));  // recorded while it needed one
  CHECK(a.grad().to_vector<float>() == std::vector<float>{2, 2});
  a.set_requires_grad(true);
  backward(sum(mul(a, b)));
  CHECK(a.grad().to_vector<float>() == std::vector<float>{4, 4});
  Variable result = mul(a, b);
  CHECK(contains(error_of([&] { result.set_requires_grad(false); }), "only a leaf can be frozen"));
}

}  // namespace
}  // namespace versor::testing
