// Checks the double reference itself: forward values against numbers worked out by hand, gradients
// against central differences of the forward functions (relative error <= 1e-6).
// Read next: test_reference_vq.cpp, the same for the quantizer.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "tests/elementwise_operations.h"
#include "tests/reference.h"

namespace {

namespace ref = versor::reference;
using ref::Array;
using ref::gradient_error;
using ref::Indices;
using ref::Random;
using ref::relative_error;
using versor::name_of;
using versor::testing::Binary;
using versor::testing::kBinary;
using versor::testing::kUnary;
using versor::testing::Unary;
using Function = std::function<Array(const Array&)>;

constexpr double kTolerance = 1e-6;
constexpr double kExact = 1e-14;  // equal up to the rounding of a few operations

struct ConvCase {
  std::string name;
  int64_t images, height, width, in, out, kernel_h, kernel_w, stride, padding;
};

const std::vector<ConvCase> kConvCases = {
    {"3x3 same size", 2, 5, 4, 3, 2, 3, 3, 1, 1},
    {"4x4 halving, as in the encoder", 2, 8, 6, 3, 4, 4, 4, 2, 1},
    {"stride 3, padding 2, odd sizes", 1, 7, 9, 2, 3, 5, 3, 3, 2},
    {"stride 2 leaves a last row unused", 2, 6, 7, 2, 2, 3, 4, 2, 0},
    {"stride 3 larger than the kernel", 1, 8, 7, 2, 2, 2, 2, 3, 0},
    {"padding 2 around 3x3", 1, 4, 3, 2, 3, 3, 3, 1, 2},
    {"1x1", 3, 3, 5, 4, 2, 1, 1, 1, 0},
    {"1x1, stride 2", 2, 5, 4, 2, 3, 1, 1, 2, 0},
    {"one channel", 1, 5, 5, 1, 1, 3, 3, 1, 1},
    {"kernel as large as the image", 2, 4, 3, 2, 3, 4, 3, 1, 0},
    {"rectangular kernel", 1, 6, 7, 2, 2, 2, 5, 1, 2},
    {"one pixel", 1, 3, 3, 1, 2, 5, 5, 2, 2},
};

// An array of the given shape with the values 1, 2, 3, ...
Array counted(const ref::Shape& shape) {
  Array x = ref::zeros(shape);
  for (int64_t i = 0; i < x.count(); ++i) x[i] = static_cast<double>(i + 1);
  return x;
}

}  // namespace

TEST_CASE("reference: random numbers are SplitMix64") {
  Random random(1234567);
  CHECK(random.next() == 6457827717110365317ULL);
  CHECK(random.next() == 3203168211198807973ULL);
  const Array x = random.array({1000}, 2.0, 4.0);
  CHECK(ref::mean(x) == doctest::Approx(3.0).epsilon(0.03));
  for (double value : x.data) CHECK((value >= 2.0 && value < 4.0));
  const Array away = random.away_from_zero({1000});
  for (double value : away.data) CHECK((std::abs(value) >= 0.1 && std::abs(value) < 1.0));
  CHECK(std::abs(ref::mean(away)) < 0.1);
}

TEST_CASE("reference: finite difference and relative error measure what they claim") {
  const Array x{{2}, {2.0, -3.0}}, dy{{2}, {1.0, 10.0}};
  const Function cube = [](const Array& v) { return ref::mul(v, ref::square(v)); };
  CHECK(gradient_error({{2}, {12.0, 270.0}}, cube, x, dy) <= kTolerance);
  CHECK(gradient_error({{2}, {12.0, 270.01}}, cube, x, dy) > kTolerance);
  CHECK(relative_error({{2}, {3.0, 4.4}}, {{2}, {3.0, 4.0}}) == doctest::Approx(0.08));
  CHECK(relative_error({{2}, {0.0, 0.5}}, {{2}, {0.0, 0.0}}) == 0.5);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(relative_error({{2}, {nan, 0.0}}, {{2}, {1.0, 0.0}}) <= kTolerance);
  CHECK_FALSE(relative_error({{2}, {1.0, 0.0}}, {{2}, {nan, 0.0}}) <= kTolerance);
}

TEST_CASE("reference: convolution values by hand") {
  const Array x = counted({1, 3, 3, 1}), w = counted({1, 2, 2, 1});
  CHECK(ref::conv2d(x, w, {}, 1, 0).data == std::vector<double>{37, 47, 67, 77});
  CHECK(ref::conv2d(x, w, {}, 2, 1).data == std::vector<double>{4, 18, 36, 77});
  CHECK(ref::conv2d(x, w, {{1}, {-50}}, 1, 0, true).data == std::vector<double>{0, 0, 17, 27});
  // Two channels to two, 1x1: the channel is the last axis of image and weight.
  const Array pixel{{1, 1, 1, 2}, {1, 2}}, mix{{2, 1, 1, 2}, {3, 4, 5, 6}};
  CHECK(ref::conv2d(pixel, mix, {{2}, {0, 100}}, 1, 0).data == std::vector<double>{11, 117});
  // Transposed: two pixels each stamp the 2x2 kernel, first overlapping side by side, then apart.
  const Array pair = counted({1, 1, 2, 1});
  CHECK(ref::conv_transpose2d(pair, w, {}, 1, 0).data == std::vector<double>{1, 4, 4, 3, 10, 8});
  CHECK(ref::conv_transpose2d(pair, w, {{1}, {10}}, 2, 0).data ==
        std::vector<double>{11, 12, 12, 14, 13, 14, 16, 18});
  CHECK(ref::conv_transpose2d(pair, counted({1, 3, 3, 1}), {}, 2, 1).data ==
        std::vector<double>{5, 6 + 2 * 4, 10});
  const Array fan{{2, 1, 1, 2}, {3, 4, 5, 6}};  // [I,kh,kw,O]
  CHECK(ref::conv_transpose2d(pixel, fan, {{2}, {0, 100}}, 1, 0).data ==
        std::vector<double>{13, 116});
}

TEST_CASE("reference: convolution gradients match finite differences") {
  Random random(1);
  for (const ConvCase& c : kConvCases) {
    CAPTURE(c.name);
    const Array x = random.array({c.images, c.height, c.width, c.in});
    const Array w = random.array({c.out, c.kernel_h, c.kernel_w, c.in});
    const Array bias = random.array({c.out});
    const int64_t s = c.stride, p = c.padding;
    for (bool with_relu : {false, true}) {
      const Array y = ref::conv2d(x, w, bias, s, p, with_relu);
      const Array dy = random.array(y.shape);
      const Array masked = with_relu ? ref::relu_grad(dy, y) : dy;  // the gradient of x * w + bias
      const Array dx = ref::conv2d_grad_input(masked, w, x.shape, s, p);
      const Array dw = ref::conv2d_grad_weight(x, masked, w.shape, s, p);
      const Array db = ref::conv2d_grad_bias(masked);
      const Function of_x = [&](const Array& v) {
        return ref::conv2d(v, w, bias, s, p, with_relu);
      };
      const Function of_w = [&](const Array& v) {
        return ref::conv2d(x, v, bias, s, p, with_relu);
      };
      const Function of_bias = [&](const Array& v) {
        return ref::conv2d(x, w, v, s, p, with_relu);
      };
      CHECK(gradient_error(dx, of_x, x, dy) <= kTolerance);
      CHECK(gradient_error(dw, of_w, w, dy) <= kTolerance);
      CHECK(gradient_error(db, of_bias, bias, dy) <= kTolerance);
    }
  }
}

TEST_CASE("reference: transposed convolution gradients match finite differences") {
  Random random(2);
  for (const ConvCase& c : kConvCases) {
    CAPTURE(c.name);
    const Array x = random.array({c.images, c.height, c.width, c.in});
    const Array w = random.array({c.in, c.kernel_h, c.kernel_w, c.out});
    const Array bias = random.array({c.out});
    const int64_t s = c.stride, p = c.padding;
    const Array y = ref::conv_transpose2d(x, w, bias, s, p);
    const Array dy = random.array(y.shape);
    const Array dx = ref::conv_transpose2d_grad_input(dy, w, x.shape, s, p);
    const Array dw = ref::conv_transpose2d_grad_weight(x, dy, w.shape, s, p);
    const Array db = ref::conv_transpose2d_grad_bias(dy);
    const Function of_x = [&](const Array& v) { return ref::conv_transpose2d(v, w, bias, s, p); };
    const Function of_w = [&](const Array& v) { return ref::conv_transpose2d(x, v, bias, s, p); };
    const Function of_bias = [&](const Array& v) { return ref::conv_transpose2d(x, w, v, s, p); };
    CHECK(gradient_error(dx, of_x, x, dy) <= kTolerance);
    CHECK(gradient_error(dw, of_w, w, dy) <= kTolerance);
    CHECK(gradient_error(db, of_bias, bias, dy) <= kTolerance);
    // The gradients of the same weight, seen as a convolution from y's shape to x's.
    const Array no_bias = ref::conv_transpose2d(x, w, {}, s, p);
    CHECK(relative_error(no_bias, ref::conv2d_grad_input(x, w, y.shape, s, p)) <= kExact);
    CHECK(relative_error(dx, ref::conv2d(dy, w, {}, s, p)) <= kExact);
    CHECK(relative_error(dw, ref::conv2d_grad_weight(dy, x, w.shape, s, p)) <= kExact);
  }
}

TEST_CASE("reference: matmul and linear") {
  const Array a = counted({2, 3}), b = counted({3, 2});
  CHECK(ref::matmul(a, b, false, false).data == std::vector<double>{22, 28, 49, 64});
  CHECK(ref::matmul(a, a, true, false).data ==
        std::vector<double>{17, 22, 27, 22, 29, 36, 27, 36, 45});
  CHECK(ref::matmul(a, a, false, true).data == std::vector<double>{14, 32, 32, 77});
  CHECK(ref::matmul(a, b, true, true).data ==
        std::vector<double>{9, 19, 29, 12, 26, 40, 15, 33, 51});
  CHECK(ref::linear(a, counted({1, 3}), {{1}, {100}}).data == std::vector<double>{114, 132});
  Random random(3);
  for (auto [rows, inner, columns] : {std::array<int64_t, 3>{3, 4, 5}, {1, 7, 2}, {6, 1, 1}}) {
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        CAPTURE(rows);
        CAPTURE(ta);
        CAPTURE(tb);
        const Array u = random.array(ta ? ref::Shape{inner, rows} : ref::Shape{rows, inner});
        const Array v = random.array(tb ? ref::Shape{columns, inner} : ref::Shape{inner, columns});
        const Array dy = random.array({rows, columns});
        const auto [du, dv] = ref::matmul_grad(dy, u, v, ta, tb);
        const Function of_u = [&](const Array& x) { return ref::matmul(x, v, ta, tb); };
        const Function of_v = [&](const Array& x) { return ref::matmul(u, x, ta, tb); };
        CHECK(gradient_error(du, of_u, u, dy) <= kTolerance);
        CHECK(gradient_error(dv, of_v, v, dy) <= kTolerance);
      }
    const Array x = random.array({rows, inner}), w = random.array({columns, inner});
    const Array bias = random.array({columns}), dy = random.array({rows, columns});
    const ref::LinearGradients d = ref::linear_grad(dy, x, w);
    const Function of_x = [&](const Array& v) { return ref::linear(v, w, bias); };
    const Function of_w = [&](const Array& v) { return ref::linear(x, v, bias); };
    const Function of_bias = [&](const Array& v) { return ref::linear(x, w, v); };
    CHECK(gradient_error(d.x, of_x, x, dy) <= kTolerance);
    CHECK(gradient_error(d.w, of_w, w, dy) <= kTolerance);
    CHECK(gradient_error(d.b, of_bias, bias, dy) <= kTolerance);
  }
}

TEST_CASE("reference: element-wise functions of one input") {
  struct Case {
    std::string name;
    double x, y;  // one pair worked out by hand
    bool positive_only;
    Function forward;
    std::function<Array(const Array&, const Array&, const Array&)> gradient;  // of dy, x, y
  };
  std::vector<Case> cases = {
      {"neg", 0.5, -0.5, false, ref::neg, [](auto& dy, auto&, auto&) { return ref::neg_grad(dy); }},
      {"abs", -0.5, 0.5, false, ref::abs,
       [](auto& dy, auto& x, auto&) { return ref::abs_grad(dy, x); }},
      {"scale", 0.5, -1.5, false, [](const Array& x) { return ref::scale(x, -3.0); },
       [](auto& dy, auto&, auto&) { return ref::scale_grad(dy, -3.0); }},
      {"shift", 0.5, 2.5, false, [](const Array& x) { return ref::shift(x, 2.0); },
       [](auto& dy, auto&, auto&) { return ref::shift_grad(dy); }},
  };
  for (const Unary& u : kUnary)
    cases.push_back({name_of(u.op), u.x, u.y, u.low > 0, u.value,
                     [&u](auto& dy, auto& x, auto&) { return u.gradient(dy, u.saved_of(x)); }});
  Random random(4);
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(c.forward({{1}, {c.x}})[0] == doctest::Approx(c.y).epsilon(1e-15));
    for (const ref::Shape& shape : {ref::Shape{1}, {7}, {2, 3, 2, 5}}) {
      Array x = random.away_from_zero(shape);
      if (c.positive_only) x = random.array(shape, 0.2, 3.0);
      const Array dy = random.array(shape);
      CHECK(gradient_error(c.gradient(dy, x, c.forward(x)), c.forward, x, dy) <= kTolerance);
    }
  }
  // The convention at the kink: no gradient.
  const Array zero = ref::zeros({1}), one = ref::filled({1}, 1.0);
  CHECK(ref::relu_grad(one, ref::relu(zero))[0] == 0.0);
  CHECK(ref::abs_grad(one, zero)[0] == 0.0);
}

TEST_CASE("reference: element-wise functions of two inputs") {
  Random random(5);
  for (const Binary& b : kBinary) {
    CAPTURE(name_of(b.op));
    CHECK(b.value({{1}, {3.0}}, {{1}, {-4.0}})[0] == b.y);
    for (const ref::Shape& shape : {ref::Shape{9}, {3, 4}, {2, 3, 2, 2}}) {
      const Array u = random.away_from_zero(shape), v = random.away_from_zero(shape);
      const Array dy = random.array(shape);
      const auto [du, dv] = b.gradient(dy, u, v);
      const Function of_u = [&](const Array& x) { return b.value(x, v); };
      const Function of_v = [&](const Array& x) { return b.value(u, x); };
      CHECK(gradient_error(du, of_u, u, dy) <= kTolerance);
      CHECK(gradient_error(dv, of_v, v, dy) <= kTolerance);
    }
  }
}

TEST_CASE("reference: sums, means and rows") {
  const Array m = counted({2, 3}), v{{3}, {10, 20, 30}};
  CHECK(ref::sum(m) == 21.0);
  CHECK(ref::mean(m) == 3.5);
  CHECK(ref::mse(m, ref::scale(m, -1.0)) == doctest::Approx(4.0 * 91.0 / 6.0));
  CHECK(ref::sum_axis0(m).data == std::vector<double>{5, 7, 9});
  CHECK(ref::sum_axis1(m).data == std::vector<double>{6, 15});
  CHECK(ref::add_to_rows(m, v).data == std::vector<double>{11, 22, 33, 14, 25, 36});
  CHECK(ref::mul_rows(m, v).data == std::vector<double>{10, 40, 90, 40, 100, 180});
  Random random(6);
  for (auto [rows, columns] : {std::array<int64_t, 2>{1, 1}, {4, 3}, {2, 9}, {7, 1}}) {
    CAPTURE(rows);
    CAPTURE(columns);
    const Array x = random.array({rows, columns}), b = random.array({rows, columns});
    const Array u = random.array({columns}), dy = random.array({rows, columns});
    const double d = 1.7;
    const Array d1 = ref::scalar(d), dr = random.array({rows}), dc = random.array({columns});
    const Function sum = [](const Array& a) { return ref::scalar(ref::sum(a)); };
    const Function mean = [](const Array& a) { return ref::scalar(ref::mean(a)); };
    const Function mse_a = [&](const Array& a) { return ref::scalar(ref::mse(a, b)); };
    const Function mse_b = [&](const Array& a) { return ref::scalar(ref::mse(x, a)); };
    CHECK(gradient_error(ref::sum_grad(d, x.shape), sum, x, d1) <= kTolerance);
    CHECK(gradient_error(ref::mean_grad(d, x.shape), mean, x, d1) <= kTolerance);
    CHECK(gradient_error(ref::mse_grad(d, x, b).first, mse_a, x, d1) <= kTolerance);
    CHECK(gradient_error(ref::mse_grad(d, x, b).second, mse_b, b, d1) <= kTolerance);
    CHECK(gradient_error(ref::sum_axis0_grad(dc, rows), ref::sum_axis0, x, dc) <= kTolerance);
    CHECK(gradient_error(ref::sum_axis1_grad(dr, columns), ref::sum_axis1, x, dr) <= kTolerance);
    const Function add_x = [&](const Array& a) { return ref::add_to_rows(a, u); };
    const Function add_u = [&](const Array& a) { return ref::add_to_rows(x, a); };
    const Function mul_x = [&](const Array& a) { return ref::mul_rows(a, u); };
    const Function mul_u = [&](const Array& a) { return ref::mul_rows(x, a); };
    CHECK(gradient_error(ref::add_to_rows_grad(dy).first, add_x, x, dy) <= kTolerance);
    CHECK(gradient_error(ref::add_to_rows_grad(dy).second, add_u, u, dy) <= kTolerance);
    CHECK(gradient_error(ref::mul_rows_grad(dy, x, u).first, mul_x, x, dy) <= kTolerance);
    CHECK(gradient_error(ref::mul_rows_grad(dy, x, u).second, mul_u, u, dy) <= kTolerance);
  }
}

TEST_CASE("reference: functions of rows") {
  const Array m = counted({2, 3});
  CHECK(ref::scale_rows(m, {{2}, {10, -1}}).data == std::vector<double>{10, 20, 30, -4, -5, -6});
  const double a = 0.09003057317038046, b = 0.24472847105479764, c = 0.6652409557748219;
  CHECK(relative_error(ref::softmax(m), {{2, 3}, {a, b, c, a, b, c}}) <= kExact);
  CHECK(relative_error(ref::softmax({{1, 3}, {-1e4, -INFINITY, -1e4}}), {{1, 3}, {0.5, 0, 0.5}}) <=
        kExact);
  CHECK(relative_error(ref::log_softmax(m), {{2, 3},
                                             {std::log(a), std::log(b), std::log(c), std::log(a),
                                              std::log(b), std::log(c)}}) <= kExact);
  CHECK(ref::cross_entropy(m, {2, 0}) == doctest::Approx(-(std::log(c) + std::log(a)) / 2));
  CHECK(ref::argmax({{2, 3}, {1, 3, 3, -1, -2, -3}}) == Indices{1, 0});
  CHECK(ref::argmax({{3, 2}, {NAN, -INFINITY, NAN, NAN, -INFINITY, -INFINITY}}) ==
        Indices{1, 0, 0});
  CHECK(relative_error(ref::normalize_rows({{2, 2}, {3, 4, 0, 0.5}}, 0.75),  // 25.75 and 1
                       {{2, 2}, {3 / std::sqrt(25.75), 4 / std::sqrt(25.75), 0, 0.5}}) <= kExact);
  Random random(9);
  for (auto [rows, columns] : {std::array<int64_t, 2>{1, 1}, {4, 3}, {2, 9}, {7, 1}}) {
    CAPTURE(rows);
    CAPTURE(columns);
    const Array x = random.array({rows, columns}), dy = random.array({rows, columns});
    const Array s = random.array({rows});
    const Function scale_x = [&](const Array& v) { return ref::scale_rows(v, s); };
    const Function scale_s = [&](const Array& v) { return ref::scale_rows(x, v); };
    CHECK(gradient_error(ref::scale_rows_grad(dy, x, s).first, scale_x, x, dy) <= kTolerance);
    CHECK(gradient_error(ref::scale_rows_grad(dy, x, s).second, scale_s, s, dy) <= kTolerance);
    CHECK(gradient_error(ref::softmax_grad(dy, ref::softmax(x)), ref::softmax, x, dy) <=
          kTolerance);
    const Indices index = random.indices(rows, columns);
    const Array dr = random.array({rows}), d1 = ref::scalar(0.7);
    const Function pick = [&](const Array& v) { return ref::pick(v, index); };
    const Function loss = [&](const Array& v) { return ref::scalar(ref::cross_entropy(v, index)); };
    CHECK(gradient_error(ref::log_softmax_grad(dy, ref::log_softmax(x)), ref::log_softmax, x, dy) <=
          kTolerance);
    CHECK(gradient_error(ref::pick_grad(dr, index, columns), pick, x, dr) <= kTolerance);
    CHECK(gradient_error(ref::cross_entropy_grad(0.7, x, index), loss, x, d1) <= kTolerance);
    const Function normalize = [](const Array& v) { return ref::normalize_rows(v, 0.25); };
    CHECK(gradient_error(ref::normalize_rows_grad(dy, x, 0.25), normalize, x, dy) <= kTolerance);
  }
}

TEST_CASE("reference: slice, concat and permute") {
  const Array m = counted({2, 3});
  CHECK(ref::slice_columns(m, 1, 3).data == std::vector<double>{2, 3, 5, 6});
  CHECK(ref::concat_columns(m, {{2, 1}, {8, 9}}).data ==
        std::vector<double>{1, 2, 3, 8, 4, 5, 6, 9});
  CHECK(ref::permute(m, {1, 0}).data == std::vector<double>{1, 4, 2, 5, 3, 6});
  Random random(7);
  const Array a = random.array({3, 5}), b = random.array({3, 2}), dy = random.array({3, 7});
  const auto [da, db] = ref::concat_columns_grad(dy, 5);
  const Function of_a = [&](const Array& v) { return ref::concat_columns(v, b); };
  const Function of_b = [&](const Array& v) { return ref::concat_columns(a, v); };
  CHECK(gradient_error(da, of_a, a, dy) <= kTolerance);
  CHECK(gradient_error(db, of_b, b, dy) <= kTolerance);
  for (auto [begin, end] : {std::array<int64_t, 2>{0, 5}, {0, 2}, {3, 5}, {1, 4}}) {
    const Array dslice = random.array({3, end - begin});
    const Function slice = [&, begin = begin, end = end](const Array& v) {
      return ref::slice_columns(v, begin, end);
    };
    CHECK(gradient_error(ref::slice_columns_grad(dslice, begin, 5), slice, a, dslice) <=
          kTolerance);
  }
  const Array x = random.array({2, 3, 4, 5});
  const Array nchw = ref::permute(x, {0, 3, 1, 2});
  CHECK(nchw.shape == ref::Shape{2, 5, 3, 4});
  CHECK(nchw.at(1, 4, 2, 0) == x.at(1, 2, 0, 4));
  using Axes = std::vector<size_t>;
  for (const Axes& axes : {Axes{0, 3, 1, 2}, {0, 2, 3, 1}, {3, 1, 0, 2}, {0, 1, 2, 3}}) {
    const Function permute = [&](const Array& v) { return ref::permute(v, axes); };
    const Array dpermuted = random.array(permute(x).shape);
    CHECK(gradient_error(ref::permute_grad(dpermuted, axes), permute, x, dpermuted) <= kTolerance);
  }
}

TEST_CASE("reference: gather, segment sum and counts") {
  const Array table = counted({3, 2});
  const Indices picked = {2, 0, 2, 2};
  CHECK(ref::gather_rows(table, picked).data == std::vector<double>{5, 6, 1, 2, 5, 6, 5, 6});
  CHECK(ref::segment_sum(counted({4, 2}), picked, 3).data ==
        std::vector<double>{3, 4, 0, 0, 13, 16});
  CHECK(ref::bincount(picked, 4).data == std::vector<double>{1, 0, 3, 0});
  CHECK_THROWS_AS(ref::gather_rows(table, {3}), std::invalid_argument);
  const std::vector<uint8_t> images = {0, 51, 255, 102};  // two images of 2x1 pixels
  const Array x = ref::gather_images(images, {2, 2, 1, 1}, {1, 0, 1}, 2.0 / 255.0, -1.0);
  CHECK(x.shape == ref::Shape{3, 2, 1, 1});
  CHECK(relative_error(x, {x.shape, {1.0, -0.2, -1.0, -0.6, 1.0, -0.2}}) <= kExact);
  Random random(8);
  for (auto [rows, size, count] : {std::array<int64_t, 3>{1, 1, 1}, {6, 3, 4}, {9, 2, 30}}) {
    const Indices indices = random.indices(rows, count);
    const Array codes = random.array({count, size}), e = random.array({rows, size});
    const Function gather = [&](const Array& v) { return ref::gather_rows(v, indices); };
    const Function segment = [&, count = count](const Array& v) {
      return ref::segment_sum(v, indices, count);
    };
    CHECK(gradient_error(ref::gather_rows_grad(e, indices, count), gather, codes, e) <= kTolerance);
    CHECK(gradient_error(ref::segment_sum_grad(codes, indices), segment, e, codes) <= kTolerance);
  }
}
