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
      check_output(dbias, ref::sum_axis0(dz));
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
