// Every differentiable function against the double reference: values and the gradients of
// f = <dy, y> with a random dy, over the whole table of cases (tests/cases.h).
#include <set>

#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("functions: values and gradients agree with the double reference") {
  uint64_t seed = 1;
  for (const OperationCase& c : operation_cases()) {
    CAPTURE(c.name);
    const Arrays inputs = draw_inputs(c, seed++);
    const ref::Array y = c.reference(inputs);
    ref::Random random(seed);
    const ref::Array dy = random_array(random, Shape(std::span<const int64_t>(y.shape)));
    const Arrays expected = c.reference_grad(dy, inputs);

    const Outcome outcome = run_case(c, inputs, dy);
    CHECK(error(outcome.y, y) <= kTolerance);
    REQUIRE(outcome.gradients.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CHECK(error(outcome.gradients[i], expected[i]) <= kTolerance);
    }
  }
}

TEST_CASE("functions: each one of functions.h has cases") {
  const std::set<std::string> expected{"relu",
                                       "tanh",
                                       "exp",
                                       "log",
                                       "sqrt",
                                       "square",
                                       "add",
                                       "sub",
                                       "mul",
                                       "div",
                                       "scale",
                                       "conv2d",
                                       "conv_transpose2d",
                                       "add_relu",
                                       "add_bias",
                                       "linear",
                                       "sum",
                                       "matmul",
                                       "mean",
                                       "mse",
                                       "reshape",
                                       "rows",
                                       "permute",
                                       "slice",
                                       "concat",
                                       "gather_rows"};
  std::set<std::string> found, names;
  for (const OperationCase& c : operation_cases()) {
    found.insert(c.function());
    CHECK_MESSAGE(names.insert(c.name).second, "two cases are called ", c.name);
  }
  CHECK(found == expected);
}

TEST_CASE("functions: operators are the functions of the same name") {
  const Variable a(Tensor::from<float>({6, -3}, {2})), b(Tensor::from<float>({2, 0.5f}, {2}));
  CHECK((a + b).value().to_vector<float>() == std::vector<float>{8, -2.5f});
  CHECK((a - b).value().to_vector<float>() == std::vector<float>{4, -3.5f});
  CHECK((a * b).value().to_vector<float>() == std::vector<float>{12, -1.5f});
  CHECK((0.5f * a).value().to_vector<float>() == std::vector<float>{3, -1.5f});
}

TEST_CASE("functions: relu passes no gradient at zero") {
  const Variable x(Tensor::from<float>({0.f, -0.f, 1.f, -1.f}, {4}), true);
  backward(sum(relu(x)));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 1, 0});
}

TEST_CASE("functions: a convolution of no images") {
  const Variable x(Tensor({0, 5, 5, 2}), true),
      weight(to_tensor(ref::filled({3, 3, 3, 2}, 1)), true);
  const Variable y = conv2d(x, weight, {}, {1, 1});
  CHECK(y.shape() == Shape{0, 5, 5, 3});
  backward(sum(y));
  CHECK(x.grad().shape() == x.shape());
  CHECK(error(weight.grad(), ref::zeros({3, 3, 3, 2})) == 0);
}

}  // namespace
}  // namespace versor::testing
