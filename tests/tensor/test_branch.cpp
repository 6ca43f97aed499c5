// Branches: what runs beside what, what waits, and that every fault is found. Whole training steps:
// tests/experiments/test_training_branches.cpp.
#include "autograd/functions.h"
#include "tensor/branch.h"
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tests/hazards.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using Found = std::set<std::string>;

Backend& device() {
  return backend_for(test_device());
}

Tensor ones() {
  return ops::full({64}, 1.f, test_device());
}

TEST_CASE("branch: without a scope, or on a device without branches, work is just called") {
  const std::vector<float> expected(64, 2.f);
  CHECK(beside([] { return ops::add(ones(), ones()); }).to_vector<float>() == expected);
  BranchScope branches(device());
  const Tensor two = beside([] { return ops::add(ones(), ones()); });
  CHECK_FALSE(branches.is_pending(two));
  CHECK(two.to_vector<float>() == expected);
}

TEST_CASE("branch: a result is pending until the join, or until the next branch") {
  HazardChecker checker;
  BranchScope branches(device());
  const Tensor first = beside(ones);
  CHECK(branches.is_pending(first));
  CHECK(branches.is_pending(first.reshape({8, 8})));
  const Tensor second = beside([] {  // what is inside belongs to it, also with a scope of its own
    const BranchScope inner(device());
    return beside([] { return beside(ones); });
  });
  CHECK_FALSE(branches.is_pending(first));
  CHECK(branches.is_pending(second));
  branches.join();
  CHECK_FALSE(branches.is_pending(second));
  ops::add(first, second);
  CHECK(checker.found.empty());
  CHECK(checker.branches == 2);
  CHECK(checker.calls == std::map<std::string, int64_t>{{"fill", 2}, {"binary add", 1}});
}

TEST_CASE("branch: the end of a scope joins, also after an error") {
  HazardChecker checker;
  Tensor x;
  CHECK(error_of([&] {
          const BranchScope branches(device());
          x = beside(ones);
          fail("test", "on purpose");
        }) == "[test] on purpose");
  CHECK(error_of([&] {
          const BranchScope branches(device());
          beside([]() -> Tensor { fail("test", "on a branch"); });
        }) == "[test] on a branch");
  ops::unary(x, UnaryOp::square);
  CHECK(checker.found.empty());
}

TEST_CASE("branch: a missing join is found") {
  HazardChecker checker;
  BranchScope branches(device());
  const Tensor x = beside(ones);
  ops::unary(x, UnaryOp::square);
  CHECK(checker.found == Found{"fill writes what unary square reads"});
}

TEST_CASE("branch: it is found where a tensor, or a part of it, is written beside its reader") {
  HazardChecker checker;
  BranchScope branches(device());
  Tensor x = ones(), y = ones();
  beside([=] { return ops::add(x.rows(0, 32), y.rows(32, 64)); });
  ops::unary(x, UnaryOp::square);  // both read
  Tensor before = y.rows(0, 32);
  ops::fill(before, 0.f);
  CHECK(checker.found.empty());
  Tensor last = y.rows(63, 64);
  ops::fill(last, 0.f);
  CHECK(checker.found == Found{"binary add reads what fill writes"});
}

TEST_CASE("branch: memory is not reused across it, and it is found where it is") {
  for (const bool at_fault : {false, true}) {
    HazardChecker checker;
    BranchScope branches(device());
    const Tensor sum = beside([] { return ops::sum(ones()); });
    if (at_fault) device().pool().release_held();
    const Tensor other = ones();
    CHECK(
        checker.found ==
        (at_fault ? Found{"fill writes what fill writes", "sum reads what fill writes"} : Found{}));
  }
}

TEST_CASE("branch: what its work holds counts as shared, so nothing is computed in place of it") {
  HazardChecker checker;
  BranchScope branches(device());
  Tensor dy = ones();
  const Tensor y = ones();
  beside([=] { return ops::sum(dy); });
  Tensor dx = ops::relu_grad(std::move(dy), y);
  CHECK(checker.found.empty());
  beside([=] { return ops::sum(dx); });
  beside(ones);  // joins the one before, so that dx may be overwritten now
  ops::relu_grad(std::move(dx), y);
  CHECK(checker.found.empty());
}

// The gradients of x and of a, where a is used by `layers` convolutions, by way of 2a or itself,
// and by a penalty, whose backward comes last.
std::vector<std::string> gradients(int layers, bool by_way) {
  const Variable x(ops::uniform({2, 6, 6, 4}, Rng(1), -1.f, 1.f, test_device()), true);
  const Variable a(ops::uniform({4, 3, 3, 4}, Rng(2), -1.f, 1.f, test_device()), true);
  const Variable penalty = mean(square(a));
  const Variable weight = by_way ? scale(a, 2.f) : a;
  Variable y = x;
  for (int layer = 0; layer < layers; ++layer) y = add(x, conv2d(y, weight, {}, {1, 1}));
  backward(add(mean(square(y)), penalty));
  return {bits_of(x.grad()), bits_of(a.grad())};
}

TEST_CASE("branch: backward() joins before a gradient of a weight is used") {
  for (const int layers : {1, 2, 3})
    for (const bool by_way : {false, true}) {
      const auto expected = gradients(layers, by_way);
      HazardChecker checker;
      CHECK(gradients(layers, by_way) == expected);
      CHECK(checker.found.empty());
      CHECK(checker.branches == layers);
    }
}

TEST_CASE("branch: captured work gives the bits of work that is called") {
  const Configured configured({.branches = true});
  const Tensor x = ops::uniform({64}, Rng(3), -1.f, 1.f, test_device());
  Tensor y = ones();
  const auto work = [&] {
    BranchScope branches(device());
    const Tensor left = beside([=] { return ops::add(ops::add(x, x), x); });
    const Tensor right = ops::mul(ops::mul(x, x), x);
    branches.join();
    ops::copy(y, ops::add(left, ops::mul(right, y)));
  };
  std::vector<std::string> bits[2];
  for (const bool capture : {false, true}) {
    ops::fill(y, 1.f);
    Replay replay(device(), std::make_shared<MemoryPool::Arena>(device().pool()), capture);
    for (int call = 0; call < 4; ++call) {
      replay.run(work);
      bits[capture].push_back(bits_of(y));
    }
  }
  CHECK(bits[0] == bits[1]);
}

}  // namespace
}  // namespace versor::testing
