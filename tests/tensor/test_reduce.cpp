// The reductions, called on the backend itself with outputs between fences; and that they add in
// f64: in f32 the sums below would lose everything.
#include <cmath>

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

TEST_CASE("reduce: sum_axis0 and sum_axis1") {
  Backend& backend = backend_for(test_device());
  ref::Random random(32);
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{5, 7}, Shape{8193, 8},
                             Shape{5000, 60}, Shape{20001, 3}, Shape{3, 20001}, Shape{70000, 1}}) {
    CAPTURE(shape);
    const ref::Array x = random_array(random, shape, -0.5, 1);
    const Fenced in(x);
    Fenced columns({shape[1]}), rows({shape[0]});
    backend.sum_axis0(columns.view, in.view);
    check_output(columns, ref::sum_axis0(x));
    backend.sum_axis1(rows.view, in.view);
    check_output(rows, ref::sum_axis1(x));
  }
}

// dy, a skip and y, and what their gradient is without either of the last two.
struct BiasReluGradCase {
  ref::Array dy, skip, y;
  ref::Array expected(bool with_skip, bool with_y, DType type) const {
    ref::Array sum = with_skip ? ref::add(dy, skip) : dy;
    if (type == DType::bf16) sum = rounded_to_bf16(sum);
    return with_y ? ref::relu_grad(sum, y) : sum;
  }
};

// Half of y stops the gradient.
BiasReluGradCase draw_bias_relu_grad(ref::Random& random, const Shape& shape, DType type) {
  BiasReluGradCase c{random_array(random, shape, -0.5, 1), random_array(random, shape, -0.5, 1),
                     random_array(random, shape)};
  for (double& value : c.y.data) value = std::max(value, 0.0);
  if (type == DType::bf16)
    for (ref::Array* x : {&c.dy, &c.skip, &c.y}) *x = rounded_to_bf16(*x);
  return c;
}

TEST_CASE("reduce: bias_relu_grad, f32 and bf16, with a skip, with a y, also over its inputs") {
  Backend& backend = backend_for(test_device());
  ref::Random random(33);
  for (const Shape& shape : {Shape{1, 1}, Shape{9, 1}, Shape{5, 7}, Shape{8193, 8}, Shape{700, 60},
                             Shape{70, 512}, Shape{3, 2056}, Shape{3, 20001}, Shape{0, 4}})
    for (DType type : {DType::f32, DType::bf16})
      for (const auto& [with_skip, with_y] :
           {std::pair{false, true}, {true, true}, {true, false}}) {
        CAPTURE(shape);
        CAPTURE(str(type));
        CAPTURE(with_skip);
        CAPTURE(with_y);
        const BiasReluGradCase c = draw_bias_relu_grad(random, shape, type);
        const auto on_device = [&](const ref::Array& x) {
          return type == DType::f32 ? to_tensor(x) : to_bf16(x);
        };
        const double tolerance = with_skip ? kTolerance : 0;  // a sum is rounded
        const ref::Array dz = c.expected(with_skip, with_y, type), dbias = ref::sum_axis0(dz);
        const Fenced dy(on_device(c.dy)), skip(on_device(c.skip)), y(on_device(c.y));
        const Tensor of_skip = with_skip ? skip.view : Tensor(), of_y = with_y ? y.view : Tensor();
        Fenced out(shape, type), sums({shape[1]});
        backend.bias_relu_grad(out.view, sums.view, dy.view, of_skip, of_y);
        check_output(out, dz, tolerance);
        check_output(sums, dbias);
        Fenced over_dy(on_device(c.dy)), over_skip(on_device(c.skip)), again({shape[1]});
        backend.bias_relu_grad(over_dy.view, again.view, over_dy.view, of_skip, of_y);
        check_output(over_dy, dz, tolerance);
        CHECK((bits_of(again.view) == bits_of(sums.view)));
        if (!with_skip) continue;
        backend.bias_relu_grad(over_skip.view, again.view, dy.view, over_skip.view, of_y);
        check_output(over_skip, dz, tolerance);
        CHECK((bits_of(again.view) == bits_of(sums.view)));
      }
}

// The one pass gives the bits of the passes it stands for, wherever its tensors begin.
TEST_CASE("reduce: bias_relu_grad is a sum, a mask and a sum of columns") {
  Backend& backend = backend_for(test_device());
  ref::Random random(34);
  for (DType type : {DType::f32, DType::bf16})
    for (int64_t offset : {0, 1}) {
      CAPTURE(str(type));
      CAPTURE(offset);
      const BiasReluGradCase c = draw_bias_relu_grad(random, {300 + offset, 24}, type);
      const auto view = [&](const ref::Array& x) {  // 24 columns from an odd address on
        const Tensor whole = type == DType::f32 ? to_tensor(x) : to_bf16(x);
        const Tensor flat = whole.reshape({whole.numel()});
        return flat.rows(offset, offset + 300 * 24).reshape({300, 24});
      };
      const Tensor dy = view(c.dy), skip = view(c.skip), y = view(c.y);
      Fenced dz({300, 24}, type), dbias({24}), dbias_alone({24});
      backend.bias_relu_grad(dz.view, dbias.view, dy, skip, y);
      const Tensor alone = ops::relu_grad(ops::add(dy, skip), y);
      CHECK((bits_of(dz.view) == bits_of(alone)));
      backend.sum_axis0(dbias_alone.view, alone);
      check_output(dbias, to_array(dbias_alone.view), 1e-7);
    }
}

TEST_CASE("reduce: bias_relu_grad stops what is not finite, as relu_grad does") {
  Backend& backend = backend_for(test_device());
  const double inf = INFINITY, nan = NAN;
  const Tensor y = to_tensor({{4, 1}, {0, 0, 2, 1}}), dy = to_tensor({{4, 1}, {inf, nan, 3, -4}});
  Fenced dz({4, 1}), dbias({1}), alone({4, 1});
  backend.bias_relu_grad(dz.view, dbias.view, dy, {}, y);
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
  backend.sum_axis0(columns.view, empty({0, 4}));
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
  backend.sum_axis0(columns.view, flat.reshape({1002, 1}));
  check_output(columns, one(1000), 0);
  backend.sum_axis1(rows.view, flat.reshape({1, 1002}));
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

}  // namespace
}  // namespace versor::testing
