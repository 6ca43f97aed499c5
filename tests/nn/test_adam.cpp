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

TEST_CASE("adam: a parameter's first step is lr long, whenever it comes") {
  for (int late : {1, 2, 10, 1000}) {
    CAPTURE(late);
    const Variable always(to_tensor(ref::zeros({2})), true), rare(to_tensor(ref::zeros({2})), true);
    Adam adam({rare, always}, {.lr = 0.125f});
    for (int step = 1; step <= late; ++step) {
      adam.zero_grad();
      set_gradient(always, {{2}, {1, -1}});
      if (step == late) set_gradient(rare, {{2}, {3, -1e-3}});
      adam.step();
    }
    CHECK(error(rare.value(), {{2}, {-0.125, 0.125}}) <= 2e-5);
    CHECK(indices_of(adam.parameter_steps()[0]) == ref::Indices{1});
    CHECK(indices_of(adam.parameter_steps()[1]) == ref::Indices{late});
    CHECK(indices_of(adam.step_counter()) == ref::Indices{late});
  }
}

TEST_CASE(
    "adam: the schedule follows the optimiser's steps, also for a parameter that comes late") {
  const Variable p(to_tensor(ref::zeros({1})), true);
  Adam adam({p}, {.lr = 0.5f, .warmup = 4});
  for (int step = 0; step < 2; ++step) adam.step();
  set_gradient(p, one(3));
  adam.step();  // the third of four
  CHECK(error(p.value(), one(-0.375)) <= 2e-5);
}

TEST_CASE("adam: two optimisers move the same value, each by its own step") {
  const Variable p(to_tensor(ref::filled({3}, 1)), true), q(to_tensor(ref::filled({1}, 1)), true);
  Adam slow({p, q}, {.lr = 0.125f}), fast({p}, {.lr = 0.5f});
  const void* before = p.value().address();
  set_gradient(p, ref::filled({3}, 2));
  slow.step();
  CHECK(error(p.value(), ref::filled({3}, 0.875)) <= 2e-5);
  fast.step();
  CHECK(error(p.value(), ref::filled({3}, 0.375)) <= 2e-5);
  slow.step();
  CHECK(error(p.value(), ref::filled({3}, 0.25)) <= 2e-5);
  CHECK(p.value().address() == before);  // a captured step finds it there
  CHECK(indices_of(slow.parameter_steps()[0]) == ref::Indices{2});
  CHECK(indices_of(fast.parameter_steps()[0]) == ref::Indices{1});
}

TEST_CASE("adam: refuses a parameter that is given twice, and settings outside their range") {
  const Variable p(to_tensor(ref::zeros({3})), true), q(to_tensor(ref::zeros({2})), true);
  const Variable tied(p.value(), true);
  const auto refused = [&](std::vector<Variable> parameters, AdamParams params = {}) {
    return error_of([&] { Adam(std::move(parameters), params); });
  };
  const std::string shared =
      "[parameters] parameters 0 and 2 ([3]) share their memory; give each once";
  CHECK(refused({p, q, p}) == shared);
  CHECK(refused({p, q, tied}) == shared);
  CHECK(refused({}) == "[parameters] there are no parameters");
  CHECK(refused({p}, {.beta2 = 1}) == "[adam] a beta lies in [0,1), not 1");
  CHECK(refused({p}, {.weight_decay = -1}) ==
        "[adam] lr 0.0002, eps 1e-08 and weight_decay -1 must not be negative");
}

// With gradient 0 the moments stay 0, so the weight decay is all that moves.
TEST_CASE("adam: weight decay is decoupled, follows the learning rate, and needs a gradient") {
  const Variable p(to_tensor(ref::filled({2}, 1)), true),
      idle(to_tensor(ref::filled({1}, 1)), true);
  Adam adam({p, idle}, {.lr = 0.5f, .weight_decay = 0.25f, .warmup = 2});
  double expected = 1;
  for (double lr : {0.25, 0.5, 0.5}) {
    adam.zero_grad();
    set_gradient(p, ref::zeros({2}));
    adam.step();
    expected *= 1 - lr * 0.25;
    CHECK(error(p.value(), ref::filled({2}, expected)) <= 1e-6);
  }
  CHECK(idle.value().item() == 1);
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
  CHECK(guard.found()->step == 1);  // the guard runs before the second step is counted
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
  ops::copy(c.parameter_steps()[0], b.parameter_steps()[0]);
  steps(resumed, c, 2, 3);
  CHECK((bits_of(resumed.value()) == bits_of(whole.value())));
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
  CHECK(learning_rate(AdamParams{.lr = 0.5f, .warmup = 4, .decay = 4}, 3) ==
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
