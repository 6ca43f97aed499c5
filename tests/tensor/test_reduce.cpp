// The reductions, called on the backend itself with outputs between fences; that they add in f64:
// the sums below lose everything in f32; and softmax and argmax with their edges.
#include <cmath>
#include <numeric>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("reduce: sum and mse") {
  Backend& backend = backend_for(test_device());
  ref::Random random(31);
  for (int64_t n : {1, 2, 5, 31, 16384, 16387, 100003}) {
    CAPTURE(n);
    const ref::Array a = random_array(random, {n}), b = random_array(random, {n}, -0.5, 1);
    const Fenced in_a(a), in_b(b);
    Fenced total({1}), error({1});
    backend.sum(total.view, in_b.view, -0.25f);
    check_output(total, one(-0.25 * ref::sum(b)));
    backend.mse(error.view, in_a.view, in_b.view);
    check_output(error, one(ref::mse(a, b)));
  }
}

TEST_CASE("reduce: sum_rows and sum_columns") {
  Backend& backend = backend_for(test_device());
  ref::Random random(32);
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{5, 7}, Shape{8193, 8},
                             Shape{5000, 60}, Shape{20001, 3}, Shape{3, 20001}, Shape{70000, 1}}) {
    CAPTURE(shape);
    const ref::Array x = random_array(random, shape, -0.5, 1);
    const Fenced in(x);
    Fenced columns({shape[1]}), rows({shape[0]});
    backend.sum_rows(columns.view, in.view);
    check_output(columns, ref::sum_rows(x));
    backend.sum_columns(rows.view, in.view);
    check_output(rows, ref::sum_columns(x));
  }
}

TEST_CASE("reduce: bias_relu_grad, f32 and bf16, also over dy") {
  Backend& backend = backend_for(test_device());
  ref::Random random(33);
  for (const Shape& shape : {Shape{1, 1}, Shape{9, 1}, Shape{5, 7}, Shape{8193, 8}, Shape{700, 60},
                             Shape{3, 20001}, Shape{0, 4}})
    for (DType type : {DType::f32, DType::bf16}) {
      CAPTURE(shape);
      CAPTURE(str(type));
      const bool wide = type == DType::f32;
      ref::Array y = random_array(random, shape), dy = random_array(random, shape, -0.5, 1);
      for (double& value : y.data) value = std::max(value, 0.0);  // half of them stop the gradient
      if (!wide) y = rounded_to_bf16(y), dy = rounded_to_bf16(dy);
      const ref::Array dz = ref::relu_grad(dy, y);
      const auto on_device = [&](const ref::Array& x) { return wide ? to_tensor(x) : to_bf16(x); };
      if (y.count() == 0) {
        Fenced dbias({shape[1]});
        Tensor nothing = empty(shape, type);
        backend.bias_relu_grad(nothing, dbias.view, nothing, nothing);
        check_output(dbias, ref::zeros({shape[1]}));
        continue;
      }
      const Fenced in_y(on_device(y)), in_dy(on_device(dy));
      Fenced out(shape, type), dbias({shape[1]}), over(on_device(dy)), dbias_over({shape[1]});
      backend.bias_relu_grad(out.view, dbias.view, in_dy.view, in_y.view);
      check_output(out, dz, 0);
      check_output(dbias, ref::sum_rows(dz));
      backend.bias_relu_grad(over.view, dbias_over.view, over.view, in_y.view);
      check_output(over, dz, 0);
      CHECK((bits_of(dbias_over.view) == bits_of(dbias.view)));
    }
}

TEST_CASE("reduce: bias_relu_grad stops what is not finite, as relu_grad does") {
  Backend& backend = backend_for(test_device());
  const double inf = INFINITY, nan = NAN;
  const Tensor y = to_tensor({{4, 1}, {0, 0, 2, 1}}), dy = to_tensor({{4, 1}, {inf, nan, 3, -4}});
  Fenced dz({4, 1}), dbias({1}), alone({4, 1});
  backend.bias_relu_grad(dz.view, dbias.view, dy, y);
  backend.unary_grad(alone.view, dy, y, UnaryOp::relu);
  check_output(dz, {{4, 1}, {0, 0, 3, -4}}, 0);
  check_output(alone, {{4, 1}, {0, 0, 3, -4}}, 0);
  check_output(dbias, {{1}, {-1}}, 0);
}

TEST_CASE("reduce: sums of nothing are zero") {
  Backend& backend = backend_for(test_device());
  Fenced total({1}), columns({4});
  backend.sum(total.view, empty({0}), 1.f);
  check_output(total, one(0));
  backend.sum_rows(columns.view, empty({0, 4}));
  check_output(columns, ref::zeros({4}));
}

// 2^27 + 1000 ones - 2^27: an f32 sum would stay at 2^27 and give 0.
TEST_CASE("reduce: additions are made in f64") {
  Backend& backend = backend_for(test_device());
  ref::Array x = ref::filled({1002}, 1);
  x[0] = 0x1p27;
  x[1001] = -0x1p27;
  const Tensor flat = to_tensor(x);
  Fenced total({1}), columns({1}), rows({1}), segments({1, 1});
  backend.sum(total.view, flat, 1.f);
  check_output(total, one(1000), 0);
  backend.sum_rows(columns.view, flat.reshape({1002, 1}));
  check_output(columns, one(1000), 0);
  backend.sum_columns(rows.view, flat.reshape({1, 1002}));
  check_output(rows, one(1000), 0);
  backend.segment_sum(segments.view, flat.reshape({1002, 1}), index_tensor(ref::Indices(1002, 0)));
  check_output(segments, {{1, 1}, {1000}}, 0);

  // Differences of 2^-12 beside one of 2^13: the squares are 50 binary digits apart.
  ref::Array a = ref::filled({4097}, 0x1p-12);
  a[0] = 0x1p13;
  Fenced error({1});
  backend.mse(error.view, to_tensor(a), to_tensor(ref::zeros({4097})));
  check_output(error, one(ref::mean(ref::square(a))), 1e-7);
}

// On both sides of what a warp, and the short rows of a GPU, hold; several blocks of rows.
const Shape kRows[] = {{1, 1},    {1, 9},      {9, 1},    {5, 7},     {3, 31},
                       {3, 32},   {7, 33},     {3, 257},  {3, 1024},  {3, 1025},
                       {5, 2000}, {2, 100003}, {5000, 9}, {2001, 40}, {40001, 1}};

TEST_CASE("reduce: softmax, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(35);
  for (const Shape& shape : kRows)
    for (double range : {0.01, 5.0, 200.0}) {
      CAPTURE(shape);
      CAPTURE(range);
      const ref::Array x = random_array(random, shape, -range, range), y = ref::softmax(x);
      const Fenced in(x);
      Fenced out(shape), in_place(x);
      backend.softmax(out.view, in.view);
      check_output(out, y, 1e-6);
      CHECK(error(ops::sum_columns(out.view), ref::filled({shape[0]}, 1)) <= 1e-6);
      backend.softmax(in_place.view, in_place.view);
      CHECK(in_place.intact());
      CHECK((bits_of(in_place.view) == bits_of(out.view)));
    }
  Tensor no_rows = empty({0, 3}), no_columns = empty({3, 0});
  backend.softmax(no_rows, no_rows);
  backend.softmax(no_columns, no_columns);
}

TEST_CASE("reduce: the gradient of softmax, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(36);
  for (const Shape& shape : kRows) {
    CAPTURE(shape);
    const ref::Array y = random_array(random, shape, 0, 1), dy = random_array(random, shape, -1, 1);
    const Fenced in(dy), saved(y);
    Fenced out(shape), in_place(dy);
    backend.softmax_grad(out.view, in.view, saved.view);
    check_output(out, ref::softmax_grad(dy, y), kTolerance);
    backend.softmax_grad(in_place.view, in_place.view, saved.view);
    CHECK(in_place.intact());
    CHECK((bits_of(in_place.view) == bits_of(out.view)));
  }
  Tensor no_rows = empty({0, 3}), no_columns = empty({3, 0});
  backend.softmax_grad(no_rows, no_rows, no_rows);
  backend.softmax_grad(no_columns, no_columns, no_columns);
}

// Only differences count. Those of multiples of 2^-8 stay exact beside 10^4.
TEST_CASE("reduce: softmax of large values is that of their differences, to the bit") {
  ref::Random random(36);
  for (const Shape& shape : {Shape{5, 7}, Shape{3, 2000}}) {
    ref::Array x = random_array(random, shape, -8, 8);
    for (double& value : x.data) value = std::round(value * 256) / 256;
    const std::string bits = bits_of(ops::softmax(to_tensor(x)));
    for (double shift : {1e4, -1e4, 3e4}) {
      CAPTURE(shift);
      CHECK((bits_of(ops::softmax(to_tensor(ref::shift(x, shift)))) == bits));
    }
  }
  const Tensor extremes = to_tensor({{2, 3}, {3e38, -3e38, 3e38, 0, -3e38, -1e30}});
  CHECK(ops::softmax(extremes).to_vector<float>() == std::vector<float>{0.5, 0, 0.5, 1, 0, 0});
}

TEST_CASE("reduce: softmax gives 0 for -inf, and a row that has no softmax is NaN in all places") {
  const double inf = INFINITY, nan = NAN;
  for (const int64_t columns : {3, 32, 100, 1500}) {
    CAPTURE(columns);
    ref::Array x = ref::zeros({7, columns});
    for (int64_t k = 0; k < columns; ++k) x.at(1, k) = x.at(4, k) = -inf;
    x.at(0, 1) = -inf;
    x.at(2, columns - 1) = nan;
    x.at(3, 0) = inf;
    x.at(4, columns - 1) = nan;
    x.at(5, 0) = x.at(5, 2) = inf;
    const ref::Array y = to_array(ops::softmax(to_tensor(x)));
    for (int64_t k = 0; k < columns; ++k) {
      CHECK(y.at(0, k) == doctest::Approx(k == 1 ? 0 : 1.0 / double(columns - 1)));
      CHECK(y.at(6, k) == doctest::Approx(1.0 / double(columns)));
      for (int64_t r : {1, 2, 3, 4, 5}) CHECK(std::isnan(y.at(r, k)));
    }
    CHECK(y.at(0, 1) == 0);
  }
}

ref::Array as_array(const ref::Indices& index) {
  return {{static_cast<int64_t>(index.size())}, {index.begin(), index.end()}};
}

TEST_CASE("reduce: argmax, the lowest of equals") {
  Backend& backend = backend_for(test_device());
  ref::Random random(37);
  for (const Shape& shape : kRows)
    for (double steps : {2.0, 1e6}) {  // few values, of which many are equal; hardly any equal
      CAPTURE(shape);
      CAPTURE(steps);
      ref::Array x = random_array(random, shape);
      for (double& value : x.data) value = static_cast<float>(std::round(value * steps) / steps);
      const Fenced in(x);
      Fenced index({shape[0]}, DType::i32);
      backend.argmax(index.view, in.view);
      check_output(index, as_array(ref::argmax(x)), 0);
    }
  const Tensor zeros = on_device<float>({-0.f, 0.f, 0.f, -0.f}, {2, 2});  // are equal
  CHECK(ops::argmax(zeros).to_vector<int32_t>() == std::vector<int32_t>{0, 0});
  Tensor nothing = empty({0}, DType::i32);
  backend.argmax(nothing, empty({0, 3}));
}

TEST_CASE("reduce: argmax finds the largest in any place") {
  for (const int64_t columns : {1, 33, 300, 1100}) {
    ref::Array x = ref::filled({columns, columns}, -1);
    for (int64_t k = 0; k < columns; ++k) x.at(k, k) = 0.5;
    ref::Indices diagonal(static_cast<size_t>(columns));
    std::iota(diagonal.begin(), diagonal.end(), 0);
    CHECK(error(ops::argmax(to_tensor(x)), as_array(diagonal)) == 0);
  }
}

TEST_CASE("reduce: in an argmax a NaN never wins over a number, -inf included") {
  const double inf = INFINITY, nan = NAN;
  const ref::Array by_hand{{7, 3}, {nan, -inf, -inf, nan, nan,   nan, -inf, -inf, -inf, inf, nan,
                                    inf, nan,  1,    nan, -1e30, nan, -inf, nan,  nan,  inf}};
  CHECK(error(ops::argmax(to_tensor(by_hand)), {{7}, {1, 0, 0, 0, 1, 0, 2}}) == 0);
  ref::Random random(38);
  for (const Shape& shape : {Shape{500, 5}, Shape{40, 100}, Shape{20, 1500}})
    for (int64_t out_of : {2, 10}) {  // NaN and infinities among the rest
      CAPTURE(shape);
      ref::Array x = random_array(random, shape);
      for (double& value : x.data)
        if (random.index(out_of) > 0) value = random.index(20) > 0 ? nan : -inf;
      CHECK(error(ops::argmax(to_tensor(x)), as_array(ref::argmax(x))) == 0);
    }
}

}  // namespace
}  // namespace versor::testing
