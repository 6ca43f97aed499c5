// The element-wise primitives, called on the backend itself: outputs between fences, in
// place where that is allowed, sizes of one element up to several parallel blocks.
#include <cmath>
#include <limits>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tests/elementwise_operations.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

TEST_CASE("elementwise: unary and unary_grad, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(11);
  for (const Unary& u : kUnary)
    for (int64_t n : kSizes) {
      CAPTURE(name_of(u.op));
      CAPTURE(n);
      const ref::Array x = random_array(random, {n}, u.low, u.high);
      const ref::Array y = u.value(x), dy = random_array(random, {n});
      const Fenced in(x), gradient_in(dy);
      Fenced out({n}), in_place(x);
      backend.unary(out.view, in.view, u.op);
      check_output(out, y);
      backend.unary(in_place.view, in_place.view, u.op);
      check_output(in_place, y);

      CHECK(saved_by(u.op) == u.saved);
      const ref::Array saved = u.saved == Saved::input ? x : to_array(out.view);
      const ref::Array dx = u.gradient(dy, saved);
      const Fenced saved_in(saved);
      Fenced gradient({n}), gradient_in_place(dy);
      backend.unary_grad(gradient.view, gradient_in.view, saved_in.view, u.op);
      check_output(gradient, dx);
      backend.unary_grad(gradient_in_place.view, gradient_in_place.view, saved_in.view, u.op);
      check_output(gradient_in_place, dx);
    }
}

TEST_CASE("elementwise: binary, also in place of either input") {
  Backend& backend = backend_for(test_device());
  ref::Random random(12);
  for (const Binary& o : kBinary)
    for (int64_t n : kSizes) {
      CAPTURE(name_of(o.op));
      CAPTURE(n);
      const ref::Array a = random_array(random, {n}), b = random_array(random, {n}, 0.1, 2);
      const ref::Array y = o.value(a, b);
      const Fenced in_a(a), in_b(b);
      Fenced out({n}), place_a(a), place_b(b);
      backend.binary(out.view, in_a.view, in_b.view, o.op);
      check_output(out, y);
      backend.binary(place_a.view, place_a.view, in_b.view, o.op);
      check_output(place_a, y);
      backend.binary(place_b.view, in_a.view, place_b.view, o.op);
      check_output(place_b, y);
    }
}

TEST_CASE("elementwise: binary_rows, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(13);
  for (const Binary& o : kBinary)
    for (const Shape& shape : {Shape{1, 1}, Shape{5, 7}, Shape{4001, 9}, Shape{3, 20000}}) {
      CAPTURE(name_of(o.op));
      CAPTURE(shape);
      const ref::Array x = random_array(random, shape);
      const ref::Array v = random_array(random, {shape[1]}, 0.1, 2);
      ref::Array repeated = ref::zeros(x.shape);
      for (int64_t i = 0; i < x.count(); ++i) repeated[i] = v[i % v.count()];
      const ref::Array y = o.value(x, repeated);
      const Fenced in(x), vector(v);
      Fenced out(shape), in_place(x);
      backend.binary_rows(out.view, in.view, vector.view, o.op);
      check_output(out, y);
      backend.binary_rows(in_place.view, in_place.view, vector.view, o.op);
      check_output(in_place, y);
    }
}

TEST_CASE("elementwise: scale_rows, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(17);
  for (const Shape& shape :
       {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{5, 2}, Shape{5, 7}, Shape{6, 8},
        Shape{4001, 9}, Shape{20001, 1}, Shape{3, 20000}, Shape{5, 1027}}) {
    CAPTURE(shape);
    const ref::Array x = random_array(random, shape), s = random_array(random, {shape[0]});
    const ref::Array y = ref::scale_rows(x, s);
    const Fenced in(x), factors(s);
    Fenced out(shape), in_place(x);
    backend.scale_rows(out.view, in.view, factors.view);
    check_output(out, y);
    backend.scale_rows(in_place.view, in_place.view, factors.view);
    check_output(in_place, y);
    CHECK((bits_of(in_place.view) == bits_of(out.view)));
  }
  Tensor no_rows = empty({0, 3}), no_columns = empty({3, 0});
  backend.scale_rows(no_rows, no_rows, empty({0}));
  backend.scale_rows(no_columns, no_columns, empty({3}));
}

TEST_CASE("elementwise: broadcast") {
  const Fenced s(one(-2.5));
  for (int64_t n : kSizes) {
    CAPTURE(n);
    Fenced filled({n});
    backend_for(test_device()).broadcast(filled.view, s.view, 3.f);
    check_output(filled, ref::filled({n}, -7.5), 0);
  }
}

TEST_CASE("elementwise: mse_grad, also in place") {
  Backend& backend = backend_for(test_device());
  ref::Random random(15);
  const Fenced dy(one(1.5));
  for (int64_t n : kSizes) {
    CAPTURE(n);
    const ref::Array a = random_array(random, {n}), b = random_array(random, {n});
    const ref::Array da = ref::mse_grad(1.5, a, b).first;
    const Fenced in_a(a), in_b(b);
    Fenced out({n}), in_place(a);
    backend.mse_grad(out.view, dy.view, in_a.view, in_b.view);
    check_output(out, da);
    backend.mse_grad(in_place.view, dy.view, in_place.view, in_b.view);
    check_output(in_place, da);
  }
}

// A network that has diverged must show it in its losses.
TEST_CASE("relu keeps a NaN, alone and after a sum") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = on_device<float>({nan, -1, 0, 2}, {4});
  const Tensor zero = ops::zeros({4}, test_device());
  for (const Tensor& y : {ops::relu(x), ops::binary(x, zero, BinaryOp::add_relu)}) {
    const auto values = y.to_vector<float>();
    CHECK(std::isnan(values[0]));
    CHECK(values[1] == 0.f);
    CHECK(values[2] == 0.f);
    CHECK(values[3] == 2.f);
  }
}

}  // namespace
}  // namespace versor::testing
