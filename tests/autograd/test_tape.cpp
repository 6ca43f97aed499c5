// The tape: one entry for each recorded function, in order, with shapes and what each keeps.
#include "autograd/functions.h"
#include "autograd/tape.h"
#include "tensor/ops.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

Variable leaf(const Shape& shape) {
  return Variable(ops::full(shape, 2.f, test_device()), true);
}

}  // namespace

TEST_CASE("tape: every function with its inputs, its result and what it keeps") {
  const Variable a = leaf({8, 64}), b = leaf({64});
  const Variable constant(ops::full({8, 64}, 1.f, test_device()));
  const Variable loss = [&] {
    // The bias needs no value for its gradient, the square keeps its input, the mean nothing.
    return mean(square(add_bias(mul(a, constant), b)));
  }();
  const std::vector<TapeEntry> tape = take_tape(loss);
  REQUIRE(tape.size() == 4);
  const char* names[] = {"mul", "add_bias", "square", "mean"};
  const size_t kept[] = {0, 0, 8 * 64 * sizeof(float), 0};
  for (size_t i = 0; i < tape.size(); ++i) {
    CAPTURE(i);
    CHECK(tape[i].name == names[i]);
    CHECK(tape[i].saved_bytes == kept[i]);
    CHECK(tape[i].shape == (i == 3 ? Shape{1} : Shape{8, 64}));
    if (i > 0) CHECK(tape[i].inputs[0].made_by == tape[i - 1].number);
  }
  REQUIRE(tape[0].inputs.size() == 2);
  CHECK(tape[0].inputs[0].leaf == a.value().address());
  CHECK(tape[0].inputs[1].leaf == nullptr);  // needs no gradient
  CHECK(tape[0].inputs[1].shape == Shape{8, 64});
  CHECK(tape[1].inputs[1].leaf == b.value().address());
  CHECK(tape[1].inputs[1].shape == Shape{64});
  CHECK(contains(error_of([&] { backward(loss); }), "was freed"));
}

TEST_CASE("tape: a value that two functions keep is counted once, with the earlier") {
  const Variable x = leaf({64});
  const Variable loss = [&] {
    const Variable y = exp(x);
    return sum(square(y) + square(y));
  }();
  size_t all = 0;
  const std::vector<TapeEntry> tape = take_tape(loss);
  for (const TapeEntry& entry : tape) all += entry.saved_bytes;
  CHECK(all == 64 * sizeof(float));
  CHECK(tape[0].saved_bytes == all);
  CHECK(take_tape(stop_gradient(x)).empty());
}

}  // namespace versor::testing
