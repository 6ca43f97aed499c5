// The element-wise primitives and Adam, called on the backend itself: outputs between fences, in
// place where that is allowed, sizes of one element up to several parallel blocks.
#include <array>
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

// Gradients near 1e-8 make epsilon count; the weights are small, so that a wrong step shows.
TEST_CASE("elementwise: adam over several steps") {
  Backend& backend = backend_for(test_device());
  ref::Random random(16);
  const AdamParams many[] = {{}, {.lr = 0.01f, .beta1 = 0.5f, .beta2 = 0.75f, .eps = 1e-3f}};
  for (const AdamParams& params : many)
    for (int64_t n : {int64_t{1}, int64_t{17}, int64_t{40001}})
      for (double size : {1.0, 1e-8}) {
        CAPTURE(params.lr);
        CAPTURE(n);
        CAPTURE(size);
        const ref::AdamOptions options{params.lr, params.beta1, params.beta2, params.eps};
        ref::AdamState state{random_array(random, {n}, -0.01, 0.01), ref::zeros({n}),
                             ref::zeros({n})};
        Fenced weight(state.parameter), m(state.m), v(state.v);
        for (int32_t t = 1; t <= 5; ++t) {
          const ref::Array g = random_array(random, {n}, -size, size);
          const Fenced gradient(g), step(index_tensor({t}));
          backend.adam(weight.view, m.view, v.view, std::array{AdamPart{gradient.view, 0}},
                       step.view, {}, params);
          state = ref::adam_step(state, g, t, options);
          check_output(weight, state.parameter);
          check_output(m, state.m);
          check_output(v, state.v);
        }
      }
}

// Three parameters of different shapes in one buffer, with gaps before, between and behind them.
struct FlatAdam {
  static constexpr int64_t kTotal = 20000;
  ref::Random random{17};
  ref::Array start = random_array(random, {kTotal});
  ref::Array g1 = random_array(random, {300}), g2 = random_array(random, {2, 3, 5});
  ref::Array g3 = random_array(random, {17001});
  Fenced weight{start}, m{ref::filled({kTotal}, 0.5)}, v{ref::filled({kTotal}, 0.25)};

  // Not in the order of their offsets.
  void step(const Tensor& guard) {
    const Fenced first(g1), second(g2), third(g3), t(index_tensor({3}));
    const std::array parts{AdamPart{second.view, 320}, AdamPart{third.view, 2500},
                           AdamPart{first.view, 7}};
    backend_for(test_device())
        .adam(weight.view, m.view, v.view, parts, t.view, guard, {.lr = 0.1f});
  }
};

TEST_CASE("elementwise: adam moves the parts that have gradients, the gaps keep every bit") {
  FlatAdam adam;
  ref::AdamState expected{adam.start, ref::filled({FlatAdam::kTotal}, 0.5),
                          ref::filled({FlatAdam::kTotal}, 0.25)};
  const auto move = [&](const ref::Array& g, int64_t offset) {
    ref::AdamState part{ref::zeros({g.count()}), ref::filled({g.count()}, 0.5),
                        ref::filled({g.count()}, 0.25)};
    for (int64_t i = 0; i < g.count(); ++i) part.parameter[i] = expected.parameter[offset + i];
    part = ref::adam_step(part, {{g.count()}, g.data}, 3, {.lr = 0.1});
    for (int64_t i = 0; i < g.count(); ++i) {
      expected.parameter[offset + i] = part.parameter[i];
      expected.m[offset + i] = part.m[i];
      expected.v[offset + i] = part.v[i];
    }
  };
  move(adam.g2, 320);
  move(adam.g3, 2500);
  move(adam.g1, 7);
  adam.step({});
  check_output(adam.weight, expected.parameter);
  check_output(adam.m, expected.m);
  check_output(adam.v, expected.v);
  const ref::Array after = to_array(adam.weight.view);
  for (int64_t i : {0, 6, 307, 319, 350, 2499, 19501, 19999}) {
    CAPTURE(i);
    CHECK(after[i] == adam.start[i]);
  }
  for (int64_t i : {7, 306, 320, 349, 2500, 19500}) {
    CAPTURE(i);
    CHECK(after[i] != adam.start[i]);
  }
}

TEST_CASE("elementwise: adam with no part, with empty ones, and with a hundred") {
  Backend& backend = backend_for(test_device());
  Fenced weight(ref::filled({200}, 1)), m(ref::zeros({200})), v(ref::zeros({200}));
  const Tensor step = index_tensor({1});
  backend.adam(weight.view, m.view, v.view, {}, step, {}, {.lr = 0.5f});
  backend.adam(weight.view, m.view, v.view, std::array{AdamPart{empty({0}), 200}}, step, {},
               {.lr = 0.5f});
  check_output(weight, ref::filled({200}, 1), 0);
  std::vector<AdamPart> parts;  // every second element, the first step goes down by lr
  ref::Array expected = ref::filled({200}, 1);
  for (int64_t i = 0; i < 100; ++i) {
    parts.push_back({to_tensor(one(2.0 + static_cast<double>(i))), 2 * i});
    expected[2 * i] = 0.5;
  }
  backend.adam(weight.view, m.view, v.view, parts, step, {}, {.lr = 0.5f});
  check_output(weight, expected);
}

TEST_CASE("elementwise: adam stands still once the guard has found something") {
  FlatAdam frozen, moving, unguarded;
  const std::string before =
      bits_of(frozen.weight.view) + bits_of(frozen.m.view) + bits_of(frozen.v.view);
  const Fenced found(index_tensor({4, 2})), nothing(ops::new_guard(test_device()));
  frozen.step(found.view);
  CHECK((bits_of(frozen.weight.view) + bits_of(frozen.m.view) + bits_of(frozen.v.view) == before));
  moving.step(nothing.view);
  unguarded.step({});
  CHECK((bits_of(moving.weight.view) == bits_of(unguarded.weight.view)));
  CHECK((bits_of(moving.weight.view) != bits_of(frozen.weight.view)));
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
