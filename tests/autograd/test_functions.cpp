// Every differentiable function against the double reference: values and the gradients of
// f = <dy, y> with a random dy, over the whole table of cases (tests/cases.h).
#include <cmath>
#include <set>

#include "tests/cases.h"
#include "tests/elementwise_operations.h"
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
    const ref::Array dy = random_array(random, to_shape(y.shape));
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

// Inputs and dy are bf16 numbers. Where rounding has moved y across zero, the kink of a ReLU, dy is
// set to 0: there the library's gradient would be right too, but differ from the reference's.
TEST_CASE("functions: convolutions in bf16 agree with the double reference") {
  uint64_t seed = 800;
  for (const OperationCase& c : conv_operation_cases(DType::bf16)) {
    CAPTURE(c.name);
    Arrays inputs = draw_inputs(c, seed++);
    for (ref::Array& input : inputs) input = rounded_to_bf16(input);
    const ref::Array y = c.reference(inputs);
    ref::Random random(seed);
    ref::Array dy = rounded_to_bf16(random_array(random, to_shape(y.shape)));
    const ref::Array computed = to_array(run_case(c, inputs, dy).y);
    CHECK(ref::relative_error(computed, y) <= kBf16Tolerance);
    int64_t moved = 0;
    for (int64_t i = 0; i < y.count(); ++i)
      if ((computed[i] > 0) != (y[i] > 0)) dy[i] = 0, ++moved;
    CHECK(moved <= y.count() / 50);

    const Arrays expected = c.reference_grad(dy, inputs);
    const Outcome outcome = run_case(c, inputs, dy);
    REQUIRE(outcome.gradients.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CHECK(outcome.gradients[i].dtype() == DType::f32);
      CHECK(error(outcome.gradients[i], expected[i]) <= kBf16Tolerance);
    }
  }
}

TEST_CASE("functions: in bf16 the activations are bf16, rounded on the way") {
  const Variable x(to_tensor(ref::filled({1, 4, 4, 2}, 1.0 / 3)), true);
  const Variable weight(to_tensor(ref::filled({3, 2, 2, 2}, 1)), true);
  const Variable half = cast(x, DType::bf16);
  CHECK(half.value().dtype() == DType::bf16);
  CHECK(cast(half, DType::bf16).value().shares_storage_with(half.value()));  // itself
  const Variable y = add_relu(conv2d(half, weight, {}, {1, 1}), conv2d(half, weight, {}, {1, 1}));
  CHECK(y.value().dtype() == DType::bf16);
  backward(sum(cast(y, DType::f32)));
  CHECK(x.grad().dtype() == DType::f32);
  CHECK(weight.grad().dtype() == DType::f32);
  // Each weight meets 16 pixels, twice: 32/3, but with 1/3 rounded to 171/512.
  CHECK(error(weight.grad(), ref::filled({3, 2, 2, 2}, 32 * 171.0 / 512)) <= kTolerance);
}

TEST_CASE("functions: each one of functions.h has cases" * cpu_only()) {
  std::set<std::string> expected{"scale",         "cast",        "add_scalar",
                                 "add_bias",      "scale_rows",  "scale_columns",
                                 "conv2d",        "matmul",      "conv_transpose2d",
                                 "linear",        "sum",         "mean",
                                 "mse",           "sum_axis1",   "normalize_rows",
                                 "softmax",       "group_norm",  "reshape",
                                 "rows",          "permute",     "slice",
                                 "concat",        "gather_rows", "expand",
                                 "pick",          "max_axis1",   "log_softmax",
                                 "cross_entropy", "clamp",       "max_pool2d",
                                 "avg_pool2d",    "layer_norm",  "pow"};
  expected.insert({"attention", "causal_softmax", "upsample_nearest2d"});
  for (const Unary& u : kUnary) expected.insert(name_of(u.op));
  for (const Binary& b : kBinary) expected.insert(name_of(b.op));
  std::set<std::string> found, names;
  for (const OperationCase& c : operation_cases()) {
    found.insert(c.function());
    CHECK_MESSAGE(names.insert(c.name).second, "two cases are called ", c.name);
  }
  CHECK(found == expected);
}

TEST_CASE("functions: operators are the functions of the same name") {
  const Variable a(on_device<float>({6, -3}, {2})), b(on_device<float>({2, 0.5f}, {2}));
  CHECK((a + b).value().to_vector<float>() == std::vector<float>{8, -2.5f});
  CHECK((a - b).value().to_vector<float>() == std::vector<float>{4, -3.5f});
  CHECK((a * b).value().to_vector<float>() == std::vector<float>{12, -1.5f});
  CHECK((0.5f * a).value().to_vector<float>() == std::vector<float>{3, -1.5f});
}

TEST_CASE(
    "functions: cross entropy of logits that would overflow, and of some that are impossible") {
  const double inf = INFINITY;
  const Tensor labels = index_tensor({1, 0, 2});
  const Variable x(to_tensor({{3, 3}, {0, 1e4, -1e4, 3e38, -3e38, 0, -inf, 2, 2}}), true);
  const Variable loss = cross_entropy(x, labels);
  CHECK(loss.item() == doctest::Approx(std::log(2.0) / 3));
  backward(loss);
  CHECK(error(x.grad(), {{3, 3}, {0, 0, 0, 0, 0, 0, 0, 1.0 / 6, -1.0 / 6}}) <= kTolerance);
  CHECK(accuracy(x.value(), labels).item() == doctest::Approx(2.0 / 3));  // of equals the first
  const Variable wrong(to_tensor({{1, 2}, {0, 1e4}}));
  CHECK(cross_entropy(wrong, index_tensor({0})).item() == 1e4f);
}

TEST_CASE("functions: a label that does not exist") {
  const Variable x(to_tensor(ref::zeros({2, 3})), true);
  const Tensor labels = index_tensor({0, 3});
  if (on_other_device())
    CHECK(std::isnan(cross_entropy(x, labels).item()));
  else
    CHECK(error_of([&] { cross_entropy(x, labels); }) ==
          "[cross_entropy] index 3 is outside the 3 classes");
}

TEST_CASE("functions: relu passes no gradient at zero") {
  const Variable x(on_device<float>({0.f, -0.f, 1.f, -1.f}, {4}), true);
  backward(sum(relu(x)));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 1, 0});
}

TEST_CASE("functions: a row of zeros normalises to zeros, with a finite gradient") {
  const Variable x(on_device<float>({0, 0, 3, 4}, {2, 2}), true);
  const Variable y = normalize_rows(x);
  CHECK(error(y.value(), {{2, 2}, {0, 0, 0.6, 0.8}}) <= kTolerance);
  backward(sum(slice(y, 0, 1)));  // of y[r,0]: 1e6 where nothing is long, else (1 - 0.6^2) / 5, ...
  const std::vector<float> dx = x.grad().to_vector<float>();
  CHECK(dx[0] == doctest::Approx(1e6));
  CHECK(dx[1] == 0);
  CHECK(dx[2] == doctest::Approx(0.128));
  CHECK(dx[3] == doctest::Approx(-0.096));
}

TEST_CASE("functions: a factor that is a constant gets no gradient, the other one does") {
  const Tensor values = to_tensor(ref::filled({2, 3}, 2));
  for (const bool scale_rows_too : {false, true}) {
    const Tensor by = to_tensor(ref::filled({scale_rows_too ? 2 : 3}, 5));
    const auto scaled = scale_rows_too ? scale_rows : scale_columns;
    const Variable x(values, true), constant(by);
    backward(sum(scaled(x, constant)));
    CHECK(error(x.grad(), ref::filled({2, 3}, 5)) == 0);
    CHECK(!constant.grad().defined());
    const Variable fixed(values), factor(by, true);
    backward(sum(scaled(fixed, factor)));
    CHECK(!fixed.grad().defined());
    CHECK(error(factor.grad(), ref::filled({by.dim(0)}, scale_rows_too ? 6 : 4)) == 0);
  }
}

TEST_CASE("functions: a convolution of no images") {
  const Variable x(empty({0, 5, 5, 2}), true),
      weight(to_tensor(ref::filled({3, 3, 3, 2}, 1)), true);
  const Variable y = conv2d(x, weight, {}, {1, 1});
  CHECK(y.shape() == Shape{0, 5, 5, 3});
  backward(sum(y));
  CHECK(x.grad().shape() == x.shape());
  CHECK(error(weight.grad(), ref::zeros({3, 3, 3, 2})) == 0);
}

}  // namespace
}  // namespace versor::testing
