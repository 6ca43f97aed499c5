// f32 products as three TF32 products (tensor/cuda/split.h).
#include <limits>

#include "tensor/cuda/split.h"
#include "tests/cases.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using cuda::Part;
using cuda::part_of;
using cuda::rounded_to_tf32;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

TEST_CASE("split: both parts are TF32 numbers, and together nearly all of x" * cpu_only()) {
  ref::Random random(3);
  const ref::Array values = random_array(random, {20000}, -1e3, 1e3);
  for (int64_t i = 0; i < values.count(); ++i) {
    const auto x = static_cast<float>(values[i]);
    const float hi = part_of(x, Part::hi), lo = part_of(x, Part::lo);
    CHECK(part_of(x, Part::finite_hi) == hi);
    for (float part : {hi, lo}) CHECK((std::bit_cast<uint32_t>(part) & 0x1fff) == 0);
    CHECK(std::abs(x - hi) <= 0x1p-11f * std::abs(x));
    CHECK(std::abs((x - hi) - lo) <= 0x1p-22f * std::abs(x));
  }
  CHECK(rounded_to_tf32(1 + 0x1p-11f) == 1.f);  // ties to even
  CHECK(rounded_to_tf32(1 + 3 * 0x1p-11f) == 1 + 0x1p-9f);
}

TEST_CASE("split: infinities, NaN, and the largest and smallest numbers" * cpu_only()) {
  for (float sign : {1.f, -1.f}) {
    CHECK(part_of(sign * kInfinity, Part::hi) == sign * kInfinity);
    CHECK(part_of(sign * kInfinity, Part::lo) == 0.f);
    CHECK(part_of(sign * kInfinity, Part::finite_hi) == 0.f);
    const float hi = part_of(sign * kLargest, Part::hi), lo = part_of(sign * kLargest, Part::lo);
    CHECK(std::isfinite(hi));
    CHECK(std::abs(static_cast<double>(hi) + lo - sign * kLargest) <= 0x1p-22 * kLargest);
  }
  CHECK(std::isnan(part_of(NAN, Part::hi)));
  CHECK(part_of(NAN, Part::lo) == 0.f);
  CHECK(part_of(NAN, Part::finite_hi) == 0.f);
  for (float tiny : {std::numeric_limits<float>::denorm_min(), 0x1.234p-130f, 0.f}) {
    const float sum = part_of(tiny, Part::hi) + part_of(tiny, Part::lo);
    CHECK(std::abs(sum - tiny) <= 0x1p-137f);
  }
}

// Sums as a 3x3 convolution of 256 channels has them, in the order of the kernel's positions.
// Tensor cores add 8 products to a sum at once; plain f32 adds one by one.
TEST_CASE("split: three TF32 products have the error of f32, one has 500 times that" * cpu_only()) {
  constexpr int64_t kPositions = 9, kChannels = 256, kSums = 200, kAtOnce = 8;
  ref::Random random(4);
  double exact_norm = 0, one_error = 0, three_error = 0, plain_error = 0;
  for (int64_t s = 0; s < kSums; ++s) {
    const ref::Array a = random_array(random, {kPositions * kChannels});
    const ref::Array b = random_array(random, {kPositions * kChannels});
    double exact = 0;
    float one = 0, three = 0, plain = 0;
    const auto add = [&](float& sum, int64_t position, Part of_a, Part of_b) {
      for (int64_t c = position * kChannels; c < (position + 1) * kChannels; c += kAtOnce) {
        double products = 0;
        for (int64_t i = c; i < c + kAtOnce; ++i)
          products += static_cast<double>(part_of(static_cast<float>(a[i]), of_a)) *
                      part_of(static_cast<float>(b[i]), of_b);
        sum = static_cast<float>(sum + products);
      }
    };
    for (int64_t p = 0; p < kPositions; ++p) {
      add(one, p, Part::hi, Part::hi);
      add(three, p, Part::lo, Part::finite_hi);
      add(three, p, Part::finite_hi, Part::lo);
      add(three, p, Part::hi, Part::hi);
    }
    for (int64_t i = 0; i < a.count(); ++i) {
      exact += a[i] * b[i];
      plain += static_cast<float>(a[i]) * static_cast<float>(b[i]);
    }
    one_error += std::pow(one - exact, 2);
    three_error += std::pow(three - exact, 2);
    plain_error += std::pow(plain - exact, 2);
    exact_norm += exact * exact;
  }
  for (double* e : {&one_error, &three_error, &plain_error}) *e = std::sqrt(*e / exact_norm);
  CAPTURE(one_error);
  CAPTURE(three_error);
  CAPTURE(plain_error);
  CHECK(one_error > 1e-4);
  CHECK(one_error < 1e-3);
  CHECK(three_error < 7e-7);
  CHECK(three_error < plain_error);
}

// On a GPU, and with our kernel on the CPU; the CPU itself computes in f32 anyway.
TEST_CASE("split: convolutions are as exact as in f32, in all three directions") {
  const Configured split({.split_f32 = true});
  Backend& backend = backend_for(test_device());
  ref::Random random(5);
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    const ref::Array x = random_array(random, c.input()), w = random_array(random, c.weight());
    const ref::Array bias = random_array(random, {c.O}), dy = random_array(random, c.output());
    const Fenced in(x), weight(w), b(bias), grad(dy);
    Fenced y(c.output()), dx(c.input()), dw(c.weight());
    backend.conv2d(y.view, in.view, weight.view, {b.view, true}, c.params());
    check_output(y, ref::conv2d(x, w, bias, c.stride, c.padding, true));
    backend.conv2d_grad_input(dx.view, grad.view, weight.view, {}, c.params());
    check_output(dx, ref::conv2d_grad_input(dy, w, x.shape, c.stride, c.padding));
    backend.conv2d_grad_weight(dw.view, in.view, grad.view, c.params());
    check_output(dw, ref::conv2d_grad_weight(x, dy, w.shape, c.stride, c.padding));
  }
}

TEST_CASE("split: an infinite input gives what f32 gives") {
  const Configured split({.split_f32 = true});
  Backend& backend = backend_for(test_device());
  // Five channels: for fewer a GPU has a kernel without tensor cores. The others are zeros.
  const Tensor x = to_tensor({{1, 1, 4, 5}, {kInfinity, 0, 0, 0, 0, -kInfinity, 0, 0, 0, 0,
                                             2,         0, 0, 0, 0, 1e38,       0, 0, 0, 0}});
  const Tensor weight = to_tensor({{1, 1, 1, 5}, {0.5, 0, 0, 0, 0}});
  Tensor y = empty({1, 1, 4, 1});
  backend.conv2d(y, x, weight, {}, {});
  const ref::Array found = to_array(y);
  CHECK(found[0] == kInfinity);
  CHECK(found[1] == -kInfinity);
  CHECK(found[2] == 1);
  CHECK(found[3] == doctest::Approx(5e37));
}

}  // namespace
}  // namespace versor::testing
