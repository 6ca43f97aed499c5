// Softmax and argmax, called on the backend itself with outputs between fences, and their edges.
#include <cmath>
#include <numeric>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// On both sides of the capacity of a warp and of a GPU's short rows; several blocks of rows.
const Shape kRows[] = {{1, 1},    {1, 9},      {9, 1},    {5, 7},     {3, 31},
                       {3, 32},   {7, 33},     {3, 257},  {3, 1024},  {3, 1025},
                       {5, 2000}, {2, 100003}, {5000, 9}, {2001, 40}, {40001, 1}};

TEST_CASE("softmax: values, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(35);
  for (const Shape& shape : kRows)
    for (double range : {0.01, 5.0, 200.0}) {
      CAPTURE(shape);
      CAPTURE(range);
      const ref::Array x = random_array(random, shape, -range, range), y = ref::softmax(x);
      const Fenced in(x);
      Fenced out(shape), in_place(x);
      backend.softmax(out.view, in.view, 0);
      check_output(out, y, 1e-6);
      CHECK(error(ops::sum_axis1(out.view), ref::filled({shape[0]}, 1)) <= 1e-6);
      backend.softmax(in_place.view, in_place.view, 0);
      CHECK(in_place.intact());
      CHECK((bits_of(in_place.view) == bits_of(out.view)));
    }
  Tensor no_rows = empty({0, 3}), no_columns = empty({3, 0});
  backend.softmax(no_rows, no_rows, 0);
  backend.softmax(no_columns, no_columns, 0);
}

// Square matrices, more columns than rows, one row, and a wide last one.
TEST_CASE("softmax: a causal row sees nothing after it, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(39);
  for (const Shape& shape : {Shape{1, 1, 1}, Shape{4, 5, 5}, Shape{3, 1, 7}, Shape{2, 6, 40},
                             Shape{3, 64, 64}, Shape{2, 3, 1500}}) {
    CAPTURE(shape);
    const int64_t T = shape[1], K = shape[2], R = shape[0] * T;
    ref::Array x = random_array(random, {R, K}, -5, 5), masked = x;
    for (int64_t r = 0; r < R; ++r)
      for (int64_t k = r % T + 1 + K - T; k < K; ++k) {
        x.at(r, k) = k % 2 == 0 ? NAN : INFINITY;
        masked.at(r, k) = -INFINITY;
      }
    const Fenced in(x);
    Fenced out({R, K}), in_place(x);
    backend.softmax(out.view, in.view, T);
    check_output(out, ref::softmax(masked), 1e-6);
    backend.softmax(in_place.view, in_place.view, T);
    CHECK(in_place.intact());
    CHECK((bits_of(in_place.view) == bits_of(out.view)));
    CHECK((bits_of(ops::softmax(in.view.reshape(shape), true)) == bits_of(out.view)));
  }
}

TEST_CASE("softmax: the gradient, also in place") {
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

// Only differences count: those of multiples of 2^-8 stay exact beside 10^4.
TEST_CASE("softmax: the result of large values is that of their differences, to the bit") {
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

TEST_CASE("softmax: gives 0 for -inf, and a row that has no softmax is NaN in all places") {
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

TEST_CASE("softmax: argmax, the lowest of equals") {
  Backend& backend = backend_for(test_device());
  ref::Random random(37);
  for (const Shape& shape : kRows)
    for (double steps : {2.0, 1e6}) {  // few distinct values, so many are equal; hardly any equal
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

TEST_CASE("softmax: argmax finds the largest in any place") {
  for (const int64_t columns : {1, 33, 300, 1100}) {
    ref::Array x = ref::filled({columns, columns}, -1);
    for (int64_t k = 0; k < columns; ++k) x.at(k, k) = 0.5;
    ref::Indices diagonal(static_cast<size_t>(columns));
    std::iota(diagonal.begin(), diagonal.end(), 0);
    CHECK(error(ops::argmax(to_tensor(x)), as_array(diagonal)) == 0);
  }
}

TEST_CASE("softmax: in an argmax a NaN never wins over a number, -inf included") {
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
