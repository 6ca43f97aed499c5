// SGD: what it moves and by how much, and what it leaves alone. PyTorch's numbers are in
// test_optimizers.cpp. Read next: test_flat_parameters.cpp.
#include "nn/adam.h"
#include "nn/finite_guard.h"
#include "nn/sgd.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

void set_gradient(const Variable& p, double g) {
  backward_with(p, ops::full(p.shape(), static_cast<float>(g), test_device()));
}

}  // namespace

TEST_CASE("sgd: momentum gathers speed, from a parameter's first gradient on") {
  const Variable p(to_tensor(ref::zeros({2})), true), late(to_tensor(ref::zeros({3, 1})), true);
  Sgd sgd({p, late}, {.lr = 0.5f, .momentum = 0.5f});
  const double moved[] = {-0.5, -1.25, -2.125};  // by 1/2 of 1, 1.5, 1.75
  for (int step = 0; step < 3; ++step) {
    sgd.zero_grad();
    set_gradient(p, 1);
    if (step == 2) set_gradient(late, 1);
    sgd.step();
    CHECK(to_array(p.value()).data == std::vector<double>(2, moved[step]));
  }
  CHECK(to_array(late.value()).data == std::vector<double>(3, -0.5));
  CHECK(sgd.velocities()[0].shape() == p.shape());
  CHECK(to_array(sgd.velocities()[1]).data == std::vector<double>(3, 1));
  CHECK(indices_of(sgd.step_counter()) == ref::Indices{3});
}

TEST_CASE("sgd: without momentum it keeps no velocity; the schedule is Adam's") {
  const Variable p(to_tensor(ref::zeros({1})), true);
  Sgd sgd({p}, {.lr = 1, .warmup = 4});
  CHECK(sgd.velocities().empty());
  set_gradient(p, 1);
  for (double expected : {-0.25, -0.75, -1.5, -2.5, -3.5}) {
    sgd.step();
    CHECK(p.value().item() == expected);
  }
}

TEST_CASE("sgd: stands still once the guard has found something, but counts on") {
  const Variable p(to_tensor(ref::zeros({2})), true);
  Sgd sgd({p}, {.lr = 1, .momentum = 0.5f});
  FiniteGuard guard(sgd.step_counter());
  for (double g : {1.0, std::nan(""), 1.0}) {
    sgd.zero_grad();
    set_gradient(p, g);
    guard.watch({{"gradient", p.grad()}});
    sgd.step(guard.state());
  }
  CHECK(to_array(p.value()).data == std::vector<double>(2, -1));
  CHECK(to_array(sgd.velocities()[0]).data == std::vector<double>(2, 1));
  CHECK(indices_of(sgd.step_counter()) == ref::Indices{3});
}

TEST_CASE("sgd: beside Adam on the same parameter, both move it") {
  const Variable p(to_tensor(ref::zeros({2})), true);
  Adam adam({p}, {.lr = 0.125f});
  Sgd sgd({p}, {.lr = 0.25f});
  set_gradient(p, 2);
  sgd.step();
  adam.step();
  CHECK(error(p.value(), ref::filled({2}, -0.625)) <= 2e-5);
}

TEST_CASE("sgd: refuses settings outside their range") {
  const Variable p(to_tensor(ref::zeros({1})), true);
  CHECK(error_of([&] { Sgd({p}, {.nesterov = true}); }) ==
        "[sgd] Nesterov's momentum needs a momentum");
  CHECK(error_of([&] { Sgd({p}, {.lr = -1}); }) ==
        "[sgd] lr -1, momentum 0 and weight_decay 0 must not be negative");
}

}  // namespace versor::testing
