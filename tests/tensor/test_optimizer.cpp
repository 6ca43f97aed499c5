// The steps of Adam and SGD, gathering and clipping, called on the backend itself: values and state
// between fences, parts in any order with gaps between them, one and a hundred of them.
#include <array>
#include <cmath>
#include <limits>

#include "tensor/backend.h"
#include "tensor/ops.h"
#include "tensor/optimizer.h"
#include "tests/wrong_calls.h"

namespace versor::testing {
namespace {

// Gradients near 1e-8 make epsilon count; the weights are small, so that a wrong step shows.
TEST_CASE("optimizer: adam over several steps") {
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
          backend.adam(m.view, v.view, std::array{ParameterPart{weight.view, gradient.view, 0, 0}},
                       step.view, step.view, {}, params);
          state = ref::adam_step(state, g, t, options);
          check_output(weight, state.parameter);
          check_output(m, state.m);
          check_output(v, state.v);
        }
      }
}

// Three parameters of different shapes, with gaps before, between and behind their state.
struct FlatAdam {
  static constexpr int64_t kTotal = 20000;
  static constexpr int64_t kOffsets[] = {7, 320, 2500};
  static constexpr int kCounts[] = {3, 1, 2};  // steps in which each had a gradient, with this one
  ref::Random random{17};
  ref::Array start[3] = {random_array(random, {300}), random_array(random, {2, 3, 5}),
                         random_array(random, {17001})};
  ref::Array g[3] = {random_array(random, {300}), random_array(random, {2, 3, 5}),
                     random_array(random, {17001})};
  Fenced values[3] = {Fenced(start[0]), Fenced(start[1]), Fenced(start[2])};
  Fenced m{ref::filled({kTotal}, 0.5)}, v{ref::filled({kTotal}, 0.25)};

  // Not in the order of their offsets.
  void step(const Tensor& guard) {
    const Fenced gradients[] = {Fenced(g[0]), Fenced(g[1]), Fenced(g[2])};
    const Fenced t(index_tensor({3})), counts(index_tensor({9, 3, 9, 2, 1}));
    const std::array parts{ParameterPart{values[1].view, gradients[1].view, kOffsets[1], 4},
                           ParameterPart{values[2].view, gradients[2].view, kOffsets[2], 3},
                           ParameterPart{values[0].view, gradients[0].view, kOffsets[0], 1}};
    backend_for(test_device())
        .adam(m.view, v.view, parts, t.view, counts.view, guard, {.lr = 0.1f});
  }
  std::string bits() const {
    std::string all = bits_of(m.view) + bits_of(v.view);
    for (const Fenced& value : values) all += bits_of(value.view);
    return all;
  }
};

TEST_CASE("optimizer: adam moves the parts by their own counts, the gaps keep every bit") {
  FlatAdam adam;
  adam.step({});
  ref::Array m = ref::filled({FlatAdam::kTotal}, 0.5), v = ref::filled({FlatAdam::kTotal}, 0.25);
  for (int j = 0; j < 3; ++j) {
    const ref::Array& g = adam.g[j];
    ref::AdamState part{adam.start[j], ref::filled(g.shape, 0.5), ref::filled(g.shape, 0.25)};
    part = ref::adam_step(part, g, FlatAdam::kCounts[j], {.lr = 0.1});
    check_output(adam.values[j], part.parameter);
    for (int64_t i = 0; i < g.count(); ++i) {
      m[FlatAdam::kOffsets[j] + i] = part.m[i];
      v[FlatAdam::kOffsets[j] + i] = part.v[i];
    }
  }
  check_output(adam.m, m);
  check_output(adam.v, v);
  const ref::Array after = to_array(adam.m.view);
  for (int64_t i : {0, 6, 307, 319, 350, 2499, 19501, 19999}) {
    CAPTURE(i);
    CHECK(after[i] == 0.5);
  }
}

TEST_CASE("optimizer: adam with no part, with empty ones, and with a hundred") {
  Backend& backend = backend_for(test_device());
  Fenced weight(ref::filled({200}, 1)), m(ref::zeros({200})), v(ref::zeros({200}));
  const Tensor step = index_tensor({1}), counts = index_tensor(ref::Indices(100, 1));
  backend.adam(m.view, v.view, {}, step, counts, {}, {.lr = 0.5f});
  backend.adam(m.view, v.view, std::array{ParameterPart{empty({0}), empty({0}), 200, 0}}, step,
               counts, {}, {.lr = 0.5f});
  check_output(weight, ref::filled({200}, 1), 0);
  std::vector<ParameterPart> parts;  // every second element; the first step moves it down by lr
  ref::Array expected = ref::filled({200}, 1);
  for (int32_t i = 0; i < 100; ++i) {
    parts.push_back({weight.view.rows(2 * i, 2 * i + 1), to_tensor(one(2.0 + i)), 2 * i, i});
    expected[2 * i] = 0.5;
  }
  backend.adam(m.view, v.view, parts, step, counts, {}, {.lr = 0.5f});
  check_output(weight, expected);
}

TEST_CASE("optimizer: adam stands still once the guard has found something") {
  FlatAdam frozen, moving, unguarded;
  const std::string before = frozen.bits();
  const Fenced found(index_tensor({4, 2})), nothing(ops::new_guard(test_device()));
  frozen.step(found.view);
  CHECK((frozen.bits() == before));
  moving.step(nothing.view);
  unguarded.step({});
  CHECK((moving.bits() == unguarded.bits()));
  CHECK((moving.bits() != frozen.bits()));
}

TEST_CASE("optimizer: sgd with and without velocity, in the part alone, under the guard") {
  Backend& backend = backend_for(test_device());
  ref::Random random(18);
  const Tensor step = index_tensor({1});
  for (int64_t n : {int64_t{1}, int64_t{17}, int64_t{40001}})
    for (bool nesterov : {false, true})
      for (double momentum : {0.0, 0.75}) {
        CAPTURE(n);
        CAPTURE(momentum);
        const SgdParams params{.lr = 0.125f,
                               .momentum = static_cast<float>(momentum),
                               .weight_decay = 0.25f,
                               .nesterov = nesterov};
        const ref::Array w = random_array(random, {n}), u = random_array(random, {n});
        const ref::Array g = random_array(random, {n});
        ref::Array all = ref::filled({n + 5}, 0.5), wanted_w = w, wanted_u = all;
        for (int64_t i = 0; i < n; ++i) {
          const double d = g[i] + 0.25 * w[i], next = momentum * u[i] + d;
          all[3 + i] = u[i];
          wanted_u[3 + i] = next;
          wanted_w[i] -= 0.125 * (nesterov ? d + momentum * next : next);
        }
        Fenced weight(w), velocity(all);
        const Fenced gradient(g), found(index_tensor({4, 2}));
        const std::array parts{ParameterPart{weight.view, gradient.view, 3, 0}};
        Tensor none;
        backend.sgd(velocity.view, parts, step, found.view, params);
        check_output(weight, w, 0);
        check_output(velocity, all, 0);
        backend.sgd(momentum > 0 ? velocity.view : none, parts, step, {}, params);
        check_output(weight, wanted_w);
        check_output(velocity, momentum > 0 ? wanted_u : all);
      }
}

TEST_CASE("optimizer: gradients are gathered to their places, the rest keeps every bit") {
  Backend& backend = backend_for(test_device());
  ref::Random random(19);
  Fenced flat(ref::filled({20000}, 0.5));
  ref::Array expected = ref::filled({20000}, 0.5);
  std::vector<ParameterPart> parts;
  for (int64_t begin : {100, 7, 12000}) {
    const ref::Array g = random_array(random, {begin == 100 ? 11000 : 30});
    for (int64_t i = 0; i < g.count(); ++i) expected[begin + i] = g[i];
    parts.push_back({{}, to_tensor(g), begin, 0});
  }
  backend.gather_gradients(flat.view, parts);
  check_output(flat, expected, 0);
}

TEST_CASE("optimizer: sum_of_squares and clip") {
  Backend& backend = backend_for(test_device());
  ref::Random random(20);
  for (int64_t n : {int64_t{1}, int64_t{6}, int64_t{40001}}) {
    const ref::Array x = random_array(random, {n});
    double squares = 0;
    for (double value : x.data) squares += value * value;
    const Fenced in(x);
    Fenced sum({1});
    backend.sum_of_squares(sum.view, in.view);
    check_output(sum, one(squares));
    for (double max_norm : {0.25, 4.0}) {
      Fenced clipped(x);
      const Fenced norm(one(2));
      backend.clip(clipped.view, norm.view, static_cast<float>(max_norm));
      ref::Array expected = x;
      for (double& value : expected.data) value *= std::min(1.0, max_norm / (2 + 1e-6));
      check_output(clipped, expected, max_norm > 2 ? 0 : kTolerance);
    }
  }
  CHECK(std::isnan(clip_factor(std::numeric_limits<float>::quiet_NaN(), 1)));
  CHECK(clip_factor(0, 1) == 1);
}

TEST_CASE("errors: adam") {
  Tensor w = f32({3}), m = f32({3}), v = f32({3}), other = f32({4}), matrix = f32({3, 1}), none;
  const Tensor step = index_tensor({1}), two = index_tensor({1, 2}), half = typed({3}, DType::bf16);
  const auto adam = [&](Tensor& first, Tensor& second, const ParameterPart& part, const Tensor& t,
                        const Tensor& guard = {}) {
    return [&, part, t, guard] { ops::adam(first, second, {part}, t, step, guard, {}); };
  };
  check_all({
      {adam(m, v, {other, other, 0, 0}, step),
       "[adam] a gradient [4] at 0 is outside the flat buffer [3]"},
      {adam(m, v, {w, w, 1, 0}, step), "[adam] a gradient [3] at 1 is outside the flat buffer [3]"},
      {adam(m, v, {w, w, -1, 0}, step),
       "[adam] a gradient [3] at -1 is outside the flat buffer [3]"},
      {adam(m, v, {other, w, 0, 0}, step), "[adam] shapes differ: [4] and [3]"},
      {adam(m, v, {w, w, 0, 1}, step), "[adam] parameter 1 has no count among [1]"},
      {adam(m, v, {w, w, 0, -1}, step), "[adam] parameter -1 has no count among [1]"},
      {adam(m, other, {w, w, 0, 0}, step), "[adam] shapes differ: [3] and [4]"},
      {adam(matrix, v, {w, w, 0, 0}, step), "[adam] needs flat buffers [P], got [3,1]"},
      {adam(m, v, {w, none, 0, 0}, step), "[adam] an input is undefined"},
      {adam(m, v, {none, w, 0, 0}, step), "[adam] an input is undefined"},
      {adam(m, v, {w, half, 0, 0}, step), "[adam] needs f32, got bf16 [3]"},
      {adam(m, v, {half, w, 0, 0}, step), "[adam] needs f32, got bf16 [3]"},
      {adam(m, v, {w, w, 0, 0}, f32({1})), "[adam] needs i32, got f32 [1]"},
      {adam(m, v, {w, w, 0, 0}, two), "[adam] needs a tensor of one element, got [2]"},
      {adam(m, v, {w, w, 0, 0}, step, step), "[adam] a guard has the shape [2], not [1]"},
  });
}

TEST_CASE("errors: sgd, gather_gradients, clip") {
  Tensor w = f32({3}), u = f32({3}), none;
  const Tensor step = index_tensor({1});
  check_all({
      {[&] {
         ops::sgd(none, {{w, w, 0, 0}}, step, {}, {.momentum = 0.5f});
       },
       "[sgd] a momentum needs a velocity"},
      {[&] {
         ops::sgd(u, {{w, w, 1, 0}}, step, {}, {});
       },
       "[sgd] a gradient [3] at 1 is outside the flat buffer [3]"},
      {[&] {
         ops::sgd(none, {{f32({4}), w, 0, 0}}, step, {}, {});
       },
       "[sgd] shapes differ: [4] and [3]"},
      {[&] {
         ops::gather_gradients(u, {{{}, w, 1, 0}});
       },
       "[gather_gradients] a gradient [3] at 1 is outside the flat buffer [3]"},
      {[&] { ops::clip(u, w, 1); }, "[clip] needs a tensor of one element, got [3]"},
      {[&] { ops::clip(u, step, 1); }, "[clip] needs f32, got i32 [1]"},
  });
}

}  // namespace
}  // namespace versor::testing
