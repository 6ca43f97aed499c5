// Adam against the double reference over several steps, and what it leaves alone.
#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

using ref::Array;
using ref::Random;

void set_gradient(const Variable& p, const Array& g) {
  backward_with(p, to_tensor(g));
}

}  // namespace

TEST_CASE("adam: parameters and moments over several steps") {
  struct Setting {
    AdamParams ours;
    ref::AdamOptions reference;
    double gradient_size;
  };
  const Setting settings[] = {{{}, {}, 1.0},  // the defaults are the paper's
                              {{.lr = 0.01f}, {.lr = 0.01}, 1.0},
                              {{.lr = 0.05f}, {.lr = 0.05}, 1e-8},  // epsilon counts here
                              {{.lr = 0.1f, .eps = 0.25f}, {.lr = 0.1, .epsilon = 0.25}, 1.0},
                              {{.lr = 0.01f, .beta1 = 0.5f, .beta2 = 0.75f},
                               {.lr = 0.01, .beta1 = 0.5, .beta2 = 0.75},
                               10.0}};
  for (const auto& [ours, reference, size] : settings) {
    CAPTURE(size);
    CAPTURE(reference.lr);
    Random random(30);
    const Variable a(to_tensor(rounded(random.array({7, 3}, -0.1, 0.1))), true);
    const Variable b(to_tensor(rounded(random.array({5}, -0.1, 0.1))), true);
    Adam adam({a, b}, ours);
    ref::AdamState wanted[] = {{to_array(a.value()), ref::zeros({7, 3}), ref::zeros({7, 3})},
                               {to_array(b.value()), ref::zeros({5}), ref::zeros({5})}};
    const Array start = wanted[0].parameter;
    for (int step = 1; step <= 6; ++step) {
      const Array ga = rounded(random.array({7, 3}, -size, size));
      const Array gb = rounded(random.array({5}, -size, size));
      adam.zero_grad();
      set_gradient(a, ga);
      set_gradient(b, gb);
      adam.step();
      wanted[0] = ref::adam_step(wanted[0], ga, step, reference);
      wanted[1] = ref::adam_step(wanted[1], gb, step, reference);
      CHECK(error(b.value(), wanted[1].parameter) <= 1e-6);
      const Array moved = ref::sub(to_array(a.value()), start);
      CHECK(ref::relative_error(moved, ref::sub(wanted[0].parameter, start)) <= 3e-4);
      for (size_t i = 0; i < 2; ++i) {
        CHECK(error(adam.first_moments()[i], wanted[i].m) <= kTolerance);
        CHECK(error(adam.second_moments()[i], wanted[i].v) <= 3e-5);  // 1 - 0.999 in f32
      }
      CHECK(indices_of(adam.step_counter()) == ref::Indices{step});
    }
  }
}

TEST_CASE("adam: the first step moves every element by the learning rate") {
  const Variable p(to_tensor(ref::zeros({4})), true);
  Adam adam({p}, {.lr = 0.125f});
  set_gradient(p, {{4}, {3, -5, 1e-3, -1e4}});
  adam.step();
  CHECK(error(p.value(), {{4}, {-0.125, 0.125, -0.125, 0.125}}) <= 2e-5);
}

TEST_CASE("adam: a parameter without gradient is untouched") {
  Random random(31);
  const Variable moved(to_tensor(random.array({3})), true),
      idle(to_tensor(random.array({2})), true);
  Adam adam({idle, moved}, {});
  const std::string idle_before = bits_of(idle.value()), moved_before = bits_of(moved.value());
  for (int step = 0; step < 3; ++step) {
    adam.zero_grad();
    set_gradient(moved, ref::filled({3}, 1));
    adam.step();
  }
  CHECK((bits_of(idle.value()) == idle_before));
  CHECK((bits_of(moved.value()) != moved_before));
  CHECK(to_array(adam.first_moments()[0]).data == std::vector<double>(2, 0.0));
  CHECK(to_array(adam.second_moments()[0]).data == std::vector<double>(2, 0.0));
}

TEST_CASE("adam: gradients stay until zero_grad, and add up without it") {
  const Variable p(to_tensor(ref::filled({2}, 1)), true);
  Adam adam({p}, {});
  const Array g{{2}, {1, 2}};
  set_gradient(p, g);
  adam.step();
  CHECK(to_array(p.grad()).data == g.data);
  set_gradient(p, g);
  CHECK(to_array(p.grad()).data == std::vector<double>{2, 4});
  adam.zero_grad();
  CHECK_FALSE(p.grad().defined());
}

TEST_CASE("adam: takes the parameters into its buffer as they are, every shape") {
  Random random(33);
  const Array a = rounded(random.array({3, 2, 2, 5})), b = rounded(random.array({1}));
  const Array c = rounded(random.array({130}));
  const Variable pa(to_tensor(a), true), pb(to_tensor(b), true), pc(to_tensor(c), true);
  Adam adam({pa, pb, pc}, {.lr = 0.5f});
  CHECK(pa.shape() == Shape{3, 2, 2, 5});
  CHECK(to_array(pa.value()).data == a.data);
  CHECK(to_array(pb.value()).data == b.data);
  CHECK(to_array(pc.value()).data == c.data);
  CHECK(adam.first_moments()[0].shape() == pa.shape());
  CHECK(adam.second_moments()[2].shape() == pc.shape());
  // The first step is lr for each, whatever the gradient; no parameter runs into its neighbour.
  set_gradient(pb, {{1}, {-7}});
  adam.step();
  CHECK(to_array(pa.value()).data == a.data);
  CHECK(to_array(pb.value())[0] == doctest::Approx(b[0] + 0.5).epsilon(1e-5));
  CHECK(to_array(pc.value()).data == c.data);
}

TEST_CASE("adam: stands still once the guard has found something, but counts on") {
  const Variable p(to_tensor(ref::filled({4}, 1)), true);
  Adam adam({p}, {});
  FiniteGuard guard(adam.step_counter());
  const auto step = [&](double gradient) {
    adam.zero_grad();
    set_gradient(p, {{4}, {1, gradient, 1, 1}});
    guard.watch({{"gradient", p.grad()}});
    adam.step(guard.state());
  };
  step(2);
  CHECK_FALSE(guard.found());
  const std::string before = bits_of(p.value());
  CHECK((before != bits_of(to_tensor(ref::filled({4}, 1)))));
  step(std::nan(""));
  step(2);
  CHECK((bits_of(p.value()) == before));
  CHECK(all_finite(adam.first_moments()[0]));
  CHECK(indices_of(adam.step_counter()) == ref::Indices{3});
  REQUIRE(guard.found());
  CHECK(guard.found()->step == 1);  // watched before the second step is counted
}

TEST_CASE("adam: continues bit for bit from its saved state") {
  Random random(32);
  const Tensor start = to_tensor(random.array({6}));
  const Array g[] = {random.array({6}), random.array({6}), random.array({6})};
  const auto steps = [&](const Variable& p, Adam& adam, int from, int to) {
    for (int i = from; i < to; ++i) {
      adam.zero_grad();
      set_gradient(p, g[i]);
      adam.step();
    }
  };
  const Variable whole(ops::clone(start), true), part(ops::clone(start), true);
  Adam a({whole}, {}), b({part}, {});
  steps(whole, a, 0, 3);
  steps(part, b, 0, 2);
  const Variable resumed(ops::clone(part.value()), true);
  Adam c({resumed}, {});
  ops::copy(c.first_moments()[0], b.first_moments()[0]);
  ops::copy(c.second_moments()[0], b.second_moments()[0]);
  ops::copy(c.step_counter(), b.step_counter());
  steps(resumed, c, 2, 3);
  CHECK((bits_of(resumed.value()) == bits_of(whole.value())));
  CHECK_THROWS_AS(Adam({}, {}), Error);
}

TEST_CASE("adam: the learning rate rises in the warm-up and falls along half a cosine") {
  const AdamParams constant{.lr = 0.5f};
  for (int step : {1, 2, 1000}) CHECK(learning_rate(constant, step) == 0.5);
  const AdamParams rising{.lr = 0.5f, .warmup = 4};
  const double quarters[] = {0.125, 0.25, 0.375, 0.5, 0.5};
  for (int step = 1; step <= 5; ++step) CHECK(learning_rate(rising, step) == quarters[step - 1]);
  // (1 + cos) / 2 at 0, 1/3, 1/2, 2/3 of the way; 0 at its end and after it.
  const AdamParams falling{.lr = 0.5f, .decay = 6};
  CHECK(learning_rate(falling, 1) == 0.5);
  CHECK(learning_rate(falling, 3) == doctest::Approx(0.375).epsilon(1e-12));
  CHECK(learning_rate(falling, 4) == doctest::Approx(0.25).epsilon(1e-12));
  CHECK(learning_rate(falling, 5) == doctest::Approx(0.125).epsilon(1e-12));
  CHECK(learning_rate(falling, 7) == doctest::Approx(0.0).epsilon(1e-12));
  CHECK(learning_rate(falling, 100) == learning_rate(falling, 7));
  CHECK(learning_rate({.lr = 0.5f, .warmup = 4, .decay = 4}, 3) ==
        doctest::Approx(0.5 * 0.75 * 0.5).epsilon(1e-12));
}

TEST_CASE("adam: every step has the learning rate of its number") {
  const AdamParams params{.lr = 0.1f, .warmup = 2, .decay = 8};
  const Variable w(to_tensor(ref::zeros({3})), true);
  Adam adam({w}, params);
  double expected = 0;
  for (int step = 1; step <= 9; ++step) {  // a constant gradient makes every step lr long
    adam.zero_grad();
    set_gradient(w, Array{{3}, {2, 2, 2}});
    adam.step();
    expected -= learning_rate(params, step);
    CAPTURE(step);
    CHECK(to_array(w.value()).data[1] == doctest::Approx(expected).epsilon(1e-5));
  }
}

}  // namespace versor::testing
