// The primitives that also work in bf16, called on the backend itself with outputs between fences.
// Inputs are bf16 numbers, so that the only error is the one rounding of the result: at most 2^-8.
#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/cases.h"
#include "tests/elementwise_operations.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

// Random bf16 numbers.
ref::Array draw(ref::Random& random, const Shape& shape, double low = -1, double high = 1) {
  return rounded_to_bf16(random_array(random, shape, low, high));
}

Fenced fenced_bf16(const ref::Array& values) {
  return Fenced(to_bf16(values));
}

TEST_CASE("bf16: unary and unary_grad, also in place, and from aligned memory") {
  Backend& backend = backend_for(test_device());
  ref::Random random(91);
  for (const Unary& u : kUnary)
    for (int64_t n : kSizes) {
      CAPTURE(name_of(u.op));
      CAPTURE(n);
      const ref::Array x = draw(random, {n}, u.low, u.high), dy = draw(random, {n});
      const Fenced in = fenced_bf16(x), gradient_in = fenced_bf16(dy);
      Fenced y({n}, DType::bf16), in_place = fenced_bf16(x);
      backend.unary(y.view, in.view, u.op);
      check_output(y, u.value(x), kOneBf16Rounding);
      backend.unary(in_place.view, in_place.view, u.op);
      CHECK((bits_of(in_place.view) == bits_of(y.view)));
      CHECK((bits_of(ops::unary(to_bf16(x), u.op)) == bits_of(y.view)));

      const Fenced saved(saved_by(u.op) == Saved::output ? y.view : in.view);
      Fenced dx({n}, DType::bf16), dx_in_place = fenced_bf16(dy);
      backend.unary_grad(dx.view, gradient_in.view, saved.view, u.op);
      check_output(dx, u.gradient(dy, to_array(saved.view)), kOneBf16Rounding);
      backend.unary_grad(dx_in_place.view, dx_in_place.view, saved.view, u.op);
      CHECK((bits_of(dx_in_place.view) == bits_of(dx.view)));
      const Tensor aligned = ops::unary_grad(to_bf16(dy), ops::clone(saved.view), u.op);
      CHECK((bits_of(aligned) == bits_of(dx.view)));
    }
}

TEST_CASE("bf16: binary, also in place of either input, and from aligned memory") {
  Backend& backend = backend_for(test_device());
  ref::Random random(92);
  for (const Binary& o : kBinary)
    for (int64_t n : kSizes) {
      CAPTURE(name_of(o.op));
      CAPTURE(n);
      const ref::Array a = draw(random, {n}), b = draw(random, {n}, 0.1, 2);
      const Fenced in_a = fenced_bf16(a), in_b = fenced_bf16(b);
      Fenced y({n}, DType::bf16), place_a = fenced_bf16(a), place_b = fenced_bf16(b);
      backend.binary(y.view, in_a.view, in_b.view, o.op);
      check_output(y, o.value(a, b), kOneBf16Rounding);
      backend.binary(place_a.view, place_a.view, in_b.view, o.op);
      CHECK((bits_of(place_a.view) == bits_of(y.view)));
      backend.binary(place_b.view, in_a.view, place_b.view, o.op);
      CHECK((bits_of(place_b.view) == bits_of(y.view)));
      CHECK((bits_of(ops::binary(to_bf16(a), to_bf16(b), o.op)) == bits_of(y.view)));
    }
}

TEST_CASE("bf16: arithmetic is in f32, and rounds to nearest, ties to even") {
  // 1 + 2^-8 is a tie and stays 1; 1 + 3 2^-8 is one too and goes up to 1 + 2^-6.
  const Tensor one_and = on_device<bf16>({bf16(1.f), bf16(1.f), bf16(-1.f)}, {3});
  const Tensor small = on_device<bf16>({bf16(0x1p-8f), bf16(0x3p-8f), bf16(-0x1p-8f)}, {3});
  CHECK(to_array(ops::add(one_and, small)).data == std::vector<double>{1, 1 + 0x1p-6, -1});
  // 300^2 = 90000 lies between the bf16 numbers 89600 and 90112.
  const Tensor x = on_device<bf16>({bf16(300.f)}, {1});
  CHECK(to_array(ops::unary(x, UnaryOp::square)).data == std::vector<double>{90112});
}

// The sums are f32, so their bound is f32's. 300 ones: a sum in bf16 would stay at 256.
TEST_CASE("bf16: sum_axis0 gives f32") {
  Backend& backend = backend_for(test_device());
  ref::Random random(93);
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{5, 7}, Shape{8193, 8},
                             Shape{5000, 60}, Shape{20001, 3}, Shape{3, 20001}}) {
    CAPTURE(shape);
    const ref::Array x = draw(random, shape, -0.5, 1);
    const Fenced in = fenced_bf16(x);
    Fenced y({shape[1]});
    backend.sum_axis0(y.view, in.view);
    check_output(y, ref::sum_axis0(x));
    CHECK((bits_of(ops::sum_axis0(to_bf16(x))) == bits_of(y.view)));
  }
  CHECK(ops::sum_axis0(to_bf16(ref::filled({300, 1}, 1))).item() == 300);
  CHECK(ops::sum_axis0(empty({0, 4}, DType::bf16)).to_vector<float>() == std::vector<float>(4, 0));
}

// Where the library cannot fuse the bias, it may be added after a first rounding; the error of that
// rounding is relative to the sum without the bias.
void check_biased(const Fenced& y, const ref::Array& expected, const ref::Array& without_bias) {
  CHECK(y.intact());
  const double size = std::max(ref::norm(expected), ref::norm(without_bias));
  CHECK(ref::norm(ref::sub(to_array(y.view), expected)) <= kOneBf16Rounding * size);
}

TEST_CASE("bf16: convolution in the three directions") {
  Backend& backend = backend_for(test_device());
  uint64_t seed = 600;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.name);
    ref::Random random(seed++);
    const ref::Array x = draw(random, c.input()), weight = draw(random, c.weight());
    const ref::Array bias = random_array(random, {c.O}), dy = draw(random, c.output());
    const Fenced in = fenced_bf16(x), in_weight = fenced_bf16(weight), in_dy = fenced_bf16(dy);
    const Fenced in_bias(bias);  // f32
    Fenced y(c.output(), DType::bf16), biased(c.output(), DType::bf16);
    const ref::Array linear = ref::conv2d(x, weight, {}, c.stride, c.padding);
    backend.conv2d(y.view, in.view, in_weight.view, {}, c.params());
    check_output(y, linear, kOneBf16Rounding);
    for (bool relu : {false, true}) {
      backend.conv2d(biased.view, in.view, in_weight.view, {in_bias.view, relu}, c.params());
      check_biased(biased, ref::conv2d(x, weight, bias, c.stride, c.padding, relu), linear);
    }

    Fenced dx(c.input(), DType::bf16), dweight(c.weight());
    backend.conv2d_grad_input(dx.view, in_dy.view, in_weight.view, {}, c.params());
    check_output(dx, ref::conv2d_grad_input(dy, weight, x.shape, c.stride, c.padding),
                 kOneBf16Rounding);
    backend.conv2d_grad_weight(dweight.view, in.view, in_dy.view, c.params());
    check_output(dweight, ref::conv2d_grad_weight(x, dy, weight.shape, c.stride, c.padding),
                 kOneBf16Rounding);
  }
}

TEST_CASE("bf16: grad_input with bias and ReLU, as a transposed convolution uses it") {
  Backend& backend = backend_for(test_device());
  uint64_t seed = 700;
  for (const ConvCase& c : conv_transpose_cases()) {
    CAPTURE(c.name);
    ref::Random random(seed++);
    const ref::Array x = draw(random, c.input()), weight = draw(random, c.transposed_weight());
    const ref::Array bias = random_array(random, {c.O});
    const Fenced in = fenced_bf16(x), in_weight = fenced_bf16(weight), in_bias(bias);
    const ref::Array linear = ref::conv_transpose2d(x, weight, {}, c.stride, c.padding);
    const ref::Array shifted = ref::conv_transpose2d(x, weight, bias, c.stride, c.padding);
    for (bool relu : {false, true}) {
      Fenced y(to_shape(linear.shape), DType::bf16);
      backend.conv2d_grad_input(y.view, in.view, in_weight.view, {in_bias.view, relu}, c.params());
      check_biased(y, relu ? ref::relu(shifted) : shifted, linear);
    }
  }
}

}  // namespace
}  // namespace versor::testing
