// Filling, converting, drawing and moving, called on the backend itself with outputs between
// fences. Operations that only move values must not change them.
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::i32, DType::u8};
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A tensor of any type with the values 0, 1, 2, ... (modulo 251 for u8, 127 for bf16).
Tensor counted(const Shape& shape, DType dtype) {
  const auto n = static_cast<size_t>(shape.numel());
  std::vector<int32_t> integers(n);
  std::iota(integers.begin(), integers.end(), 0);
  if (dtype == DType::i32) return on_device(integers, shape);
  if (dtype == DType::f32)
    return on_device(std::vector<float>(integers.begin(), integers.end()), shape);
  std::vector<uint8_t> bytes(n);
  std::vector<bf16> halves(n);
  for (size_t i = 0; i < n; ++i) {
    bytes[i] = static_cast<uint8_t>(i % 251);
    halves[i] = bf16(static_cast<float>(i % 127));
  }
  return dtype == DType::u8 ? on_device(bytes, shape) : on_device(halves, shape);
}

// Nearest number with 8 significant bits (fewer below 2^-126), ties to even, in double arithmetic.
double nearest_bf16(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  int exponent;
  std::frexp(value, &exponent);
  const int last_bit = std::max(exponent - 8, -133);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -last_bit)), last_bit);
  return std::abs(rounded) < 0x1p128 ? rounded : std::copysign(kInfinity, value);
}

// What backend.h promises of a cast of an f32 value: nearest, saturating, NaN to 0 for integers.
double converted(float value, DType to) {
  if (to == DType::f32) return value;
  if (to == DType::bf16) return nearest_bf16(value);
  if (std::isnan(value)) return 0;
  const double low = to == DType::u8 ? 0 : INT32_MIN, high = to == DType::u8 ? 255 : INT32_MAX;
  return std::clamp(std::nearbyint(static_cast<double>(value)), low, high);
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

void check_affine(const Tensor& x, DType to, float scale, float shift) {
  CAPTURE(x.dtype());
  CAPTURE(to);
  CAPTURE(scale);
  Fenced y(x.shape(), to);
  x.backend().affine(y.view, x, scale, shift);
  CHECK(y.intact());
  const ref::Array in = to_array(x), out = to_array(y.view);
  int64_t wrong = 0;
  for (int64_t i = 0; i < in.count(); ++i) {
    const float value = static_cast<float>(in[i]) * scale + shift;
    if (!same(out[i], converted(value, to)) && wrong++ == 0) {
      CAPTURE(in[i]);
      CHECK(out[i] == converted(value, to));  // the first mismatch, for the report
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("layout: cast rounds to nearest, saturates, and keeps or drops NaN") {
  std::vector<float> values{0.f,     -0.f,  0.49f,     0.5f,       1.5f,    2.5f,
                            -0.5f,   -1.5f, -2.5f,     100.25f,    254.5f,  255.f,
                            255.5f,  256.f, -1.f,      1e10f,      -1e10f,  2.1e9f,
                            -2.1e9f, kNaN,  kInfinity, -kInfinity, 3.4e38f, 1e-40f};
  // Ties of bf16 go to the even side: 1 + 1/256 down, 1 + 3/256 up, and just beyond a tie up.
  for (float x : {1.f + 0x1p-8f, 1.f + 3 * 0x1p-8f, 1.f + 0x1p-8f + 0x1p-23f, 1.f + 0x1p-9f})
    values.insert(values.end(), {x, -x});
  values.insert(values.end(), {2147483520.f, 2147483648.f, -2147483648.f, -2147483904.f});
  ref::Random random(21);
  while (values.size() < 40001) values.push_back(static_cast<float>(random.uniform(-300, 300)));
  const auto size = static_cast<int64_t>(values.size());
  const Tensor f32 = on_device(values, {size});
  std::vector<bf16> halves;
  for (float value : values) halves.emplace_back(value);
  const Tensor half = on_device(halves, {size});
  const Tensor i32 =
      on_device<int32_t>({0, 1, -1, 255, 256, 257, -300, 16777217, INT32_MAX, INT32_MIN}, {10});
  std::vector<uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  const Tensor u8 = on_device(bytes, {256});
  for (const Tensor& x : {f32, half, i32, u8})
    for (DType to : kTypes) {
      check_affine(x, to, 1.f, 0.f);
      check_affine(x, to, 2.f / 255, -1.f);
      check_affine(x, to, 127.5f, 127.5f);
    }
}

TEST_CASE("layout: bf16 of a NaN is a NaN, of the largest f32 infinity" * cpu_only()) {
  CHECK(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0xffffffffu)))));
  CHECK(static_cast<float>(bf16(std::numeric_limits<float>::max())) == kInfinity);
  CHECK(bf16(-1.f).bits == 0xbf80);
  CHECK(bf16(1.f + 0x1p-8f).bits == 0x3f80);
  CHECK(bf16(1.f + 3 * 0x1p-8f).bits == 0x3f82);
}

TEST_CASE("layout: fill and copy, every type") {
  Backend& backend = backend_for(test_device());
  for (DType dtype : kTypes)
    for (int64_t n : {1, 5, 100003}) {
      CAPTURE(dtype);
      CAPTURE(n);
      Fenced filled({n}, dtype), copied({n}, dtype);
      backend.fill(filled.view, 2.5f);
      const bool integer = dtype == DType::i32 || dtype == DType::u8;
      check_output(filled, ref::filled({n}, integer ? 2 : 2.5), 0);
      const Fenced source(counted({n}, dtype));
      backend.copy(copied.view, source.view);
      CHECK(copied.intact());
      CHECK(bits_of(copied.view) == bits_of(source.view));
      backend.copy(copied.view, copied.view);  // in place: nothing happens
      CHECK(bits_of(copied.view) == bits_of(source.view));
    }
}

TEST_CASE("layout: uniform is the value of the stream at each index, within its range") {
  Backend& backend = backend_for(test_device());
  const Rng rng = Rng(5).split(3);
  for (int64_t n : {1, 7, 100003}) {
    Fenced y({n});
    backend.uniform(y.view, rng, -2.f, 6.f);
    CHECK(y.intact());
    const std::vector<float> values = y.view.to_vector<float>();
    CHECK(*std::ranges::min_element(values) >= -2.f);
    CHECK(*std::ranges::max_element(values) < 6.f);
    for (int64_t i : {int64_t{0}, n / 2, n - 1})
      CHECK(values[i] == -2.f + 8.f * rng.uniform(static_cast<uint64_t>(i)));
    if (n < 1000) continue;
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / double(n);
    double variance = 0;
    for (float v : values) variance += (v - mean) * (v - mean) / double(n);
    CHECK(mean == doctest::Approx(2).epsilon(0.02));
    CHECK(variance == doctest::Approx(64.0 / 12).epsilon(0.02));
  }
}

TEST_CASE("layout: normal is the value of the stream at each index") {
  Backend& backend = backend_for(test_device());
  const Rng rng = Rng(5).split(3);
  for (int64_t n : {1, 7, 1023, 100003}) {
    ref::Array expected = ref::zeros({n});
    for (int64_t i = 0; i < n; ++i) expected[i] = rng.normal(static_cast<uint64_t>(i));
    Fenced y({n});
    backend.normal(y.view, rng);
    check_output(y, expected, on_other_device() ? 1e-6 : 0);
    for (float value : y.view.to_vector<float>()) CHECK(std::isfinite(value));
    CHECK((bits_of(ops::normal({n}, rng, test_device())) == bits_of(y.view)));
  }
  Tensor nothing = empty({0});
  backend.normal(nothing, rng);
}

void check_permute(const Shape& shape, const std::vector<int>& axes, DType dtype) {
  CAPTURE(shape);
  CAPTURE(dtype);
  std::string order;
  for (int axis : axes) order += str(" ", axis);
  CAPTURE(order);
  const Fenced x(counted(shape, dtype));
  const ref::Array expected =
      ref::permute(to_array(x.view), std::vector<size_t>(axes.begin(), axes.end()));
  Fenced y(to_shape(expected.shape), dtype);
  backend_for(test_device()).permute(y.view, x.view, axes);
  check_output(y, expected, 0);
}

TEST_CASE("layout: permute by every order of axes, ranks 1 to 4, every type") {
  const Shape shapes[] = {{5}, {3, 4}, {2, 3, 4}, {2, 3, 4, 5}};
  int orders = 0;
  for (const Shape& shape : shapes)
    for (DType dtype : kTypes) {
      std::vector<int> axes(static_cast<size_t>(shape.rank()));
      std::iota(axes.begin(), axes.end(), 0);
      do {
        check_permute(shape, axes, dtype);
        ++orders;
      } while (std::ranges::next_permutation(axes).found);
    }
  CHECK(orders == 4 * (1 + 2 + 6 + 24));
  check_permute({1, 1, 1, 1}, {3, 1, 0, 2}, DType::f32);
  check_permute({9, 33, 17, 16}, {0, 3, 1, 2}, DType::f32);  // more than one block
  check_permute({9, 33, 17, 16}, {3, 2, 1, 0}, DType::f32);
  check_permute({300, 400}, {1, 0}, DType::u8);
}

TEST_CASE("layout: slice and concat of columns") {
  Backend& backend = backend_for(test_device());
  ref::Random random(22);
  for (int64_t rows : {1, 6, 5001}) {
    CAPTURE(rows);
    const ref::Array x = random_array(random, {rows, 11});
    const Fenced in(x);
    for (auto [begin, end] : {std::pair{0, 11}, {0, 1}, {4, 9}, {10, 11}}) {
      Fenced y({rows, end - begin});
      backend.slice(y.view, in.view, begin);
      check_output(y, ref::slice_columns(x, begin, end), 0);
    }
    const Fenced left(ref::slice_columns(x, 0, 4)), middle(ref::slice_columns(x, 4, 5)),
        right(ref::slice_columns(x, 5, 11));
    Fenced whole({rows, 11}), part({rows, 4});
    backend.concat(whole.view, std::array{left.view, middle.view, right.view});
    check_output(whole, x, 0);
    backend.concat(part.view, std::array{left.view});
    check_output(part, ref::slice_columns(x, 0, 4), 0);
  }
}

TEST_CASE("layout: rows one below the other are those that were cut apart") {
  ref::Random random(23);
  const Tensor x = to_tensor(random_array(random, {7, 5}));
  const Tensor whole = ops::concat_rows({x.rows(0, 3), x.rows(3, 4), x.rows(4, 7)});
  CHECK((bits_of(whole) == bits_of(x)));
  CHECK((bits_of(ops::concat_rows({x.rows(2, 4)})) == bits_of(x.rows(2, 4))));
}

}  // namespace
}  // namespace versor::testing
