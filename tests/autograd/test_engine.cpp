// The engine: where gradients go and how often, what is recorded, what is freed and when.
#include "autograd/functions.h"
#include "tensor/ops.h"
#include "tensor/trace.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

using Values = std::vector<float>;

Variable leaf(const Values& values) {
  return Variable(on_device(values, {static_cast<int64_t>(values.size())}), true);
}
Values gradient(const Variable& x) {
  return x.grad().to_vector<float>();
}

TEST_CASE("engine: gradients written over one another disturb nobody who still needs them") {
  ref::Random random(77);
  const Tensor values = to_tensor(random_array(random, {4, 6}));
  const auto run = [&](bool hold) {
    const Variable x(values, true), b(to_tensor(ref::filled({6}, 0.1)), true);
    // x is used in three places; a + b returns one dy for both, and relu may overwrite its own.
    const Variable y = relu(add_bias(x, b)), z = relu(x);
    Variable kept = y + z;
    if (hold) kept.retain_grad();
    const Variable all = add_relu(kept, z) + square(kept) + y;
    const Variable loss = sum(all);
    backward(loss, /*retain_graph=*/true);
    const std::string first = bits_of(x.grad()) + bits_of(b.grad());
    const Tensor held = x.grad();  // the first gradient is held
    const std::string before = bits_of(held);
    backward(loss);
    CHECK((bits_of(held) == before));
    CHECK((bits_of(x.grad()) == bits_of(ops::scaled(held, 2.f))));  // exact: twice the same sum
    return first;
  };
  CHECK((run(false) == run(true)));
}

TEST_CASE("engine: an input used twice collects both gradients") {
  const Variable x = leaf({3, -4});
  backward(sum(mul(x, x)));
  CHECK(gradient(x) == Values{6, -8});
  const Variable y = leaf({3, -4});
  backward(sum(add(y, y)));
  CHECK(gradient(y) == Values{2, 2});
  const Variable z = leaf({3, -4});
  backward(sum(concat({reshape(z, {2, 1}), reshape(z, {2, 1}), reshape(z, {2, 1})})));
  CHECK(gradient(z) == Values{3, 3});
}

// f = sum (x^2)^2: d f / d (x^2) = 2 x^2.
TEST_CASE("engine: retain_grad keeps the gradient of a result, on all paths together") {
  const Variable x = leaf({3, -1});
  Variable squared = square(x), other = square(x);
  squared.retain_grad();
  backward(sum(add(mul(squared, squared), squared)));
  CHECK(gradient(squared) == Values{19, 3});
  CHECK(gradient(x) == Values{114, -6});
  CHECK_FALSE(other.grad().defined());
  squared.zero_grad();
  CHECK_FALSE(squared.grad().defined());
  Variable twice = square(x);
  twice.retain_grad();
  const Variable loss = sum(square(twice));
  backward(loss, /*retain_graph=*/true);
  backward(loss);
  CHECK(gradient(twice) == Values{36, 4});  // it accumulates over several backwards, like a leaf's
  Variable copy = leaf({5});
  copy.retain_grad();  // a leaf keeps its gradient anyway
  backward(sum(square(copy)));
  CHECK(gradient(copy) == Values{10});
}

// y = 5 x is used four times; its gradients are 1, 10, 100 and 1000 times w, in this order.
TEST_CASE("engine: a function that adds terms itself gets the last gradient apart from the sum") {
  for (const bool retains : {false, true}) {
    const Variable x = leaf({3, -1}), w(on_device<float>({1, 2}, {2}));
    Values first, last;
    Variable y = record("five times", ops::scaled(x.value(), 5), {x},
                        [&](Tensor dy, Tensor skip, const Needed&) -> Gradients {
                          first = dy.to_vector<float>();
                          if (skip.defined()) last = skip.to_vector<float>();
                          return ops::scaled(skip.defined() ? ops::add(dy, skip) : dy, 5);
                        });
    if (retains) y.retain_grad();
    Variable loss = sum(mul(scale(y, 1000), w));
    for (const float factor : {100.f, 10.f, 1.f}) loss = loss + sum(mul(scale(y, factor), w));
    backward(loss);
    CHECK(gradient(x) == Values{5555, 11110});
    CHECK(first == (retains ? Values{1111, 2222} : Values{111, 222}));
    CHECK(last == (retains ? Values{} : Values{1000, 2000}));
    if (retains) CHECK(gradient(y) == first);
  }
}

// f = (x^2 + 3x) * x^2: the square is used on two paths of different lengths.
TEST_CASE("engine: a node waits for the gradients of all its uses") {
  const Variable x = leaf({2, -1});
  int runs = 0;
  const Variable squared = square(x);
  const Variable counted = record("counted", squared.value(), {squared}, [&](const Tensor& dy) {
    ++runs;
    return dy;
  });
  backward(sum(mul(add(counted, scale(x, 3)), counted)));
  CHECK(gradient(x) == Values{4 * 8 + 9 * 4, -4 + 9});  // 4 x^3 + 9 x^2
  CHECK(runs == 1);
}

TEST_CASE("engine: a long chain neither overflows the stack on the way back nor when it dies" *
          cpu_only()) {
  constexpr int kLength = 200000;
  const auto chain = [](const Variable& x) {
    Variable y = x;
    for (int i = 0; i < kLength; ++i) y = scale(y, i % 2 == 0 ? 2.f : 0.5f);
    return y;
  };
  const Variable x = leaf({1.5f});
  backward(chain(x));
  CHECK(gradient(x) == Values{1});
  const size_t before = x.value().backend().pool().current_bytes();
  {
    const Variable y = chain(x);
    CHECK(y.item() == 1.5f);
  }  // destroyed here without backward
  CHECK(x.value().backend().pool().current_bytes() == before);
  backward(chain(x), true);  // destroyed with all its nodes kept
  CHECK(gradient(x) == Values{2});
}

TEST_CASE("engine: a second backward needs retain_graph") {
  const Variable x = leaf({3});
  const Variable y = square(x);
  backward(y, true);
  backward(y, true);
  CHECK(gradient(x) == Values{12});
  backward(y);
  CHECK(gradient(x) == Values{18});
  CHECK(error_of([&] { backward(y); }) ==
        "[backward] the graph of square was freed by an earlier backward(); pass retain_graph to "
        "keep it");
  CHECK(gradient(x) == Values{18});
  // So does a second loss that shares part of the graph with the first.
  const Variable shared = scale(x, 2);
  const Variable first = square(shared), second = scale(shared, 5);
  backward(first);
  CHECK(contains(error_of([&] { backward(second); }), "[backward] the graph of scale was freed"));
}

TEST_CASE("engine: leaves add up over several graphs until zero_grad") {
  Variable x = leaf({3});
  CHECK_FALSE(x.grad().defined());
  backward(scale(x, 5));
  backward(square(x));
  CHECK(gradient(x) == Values{11});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  backward(scale(x, 7));
  CHECK(gradient(x) == Values{7});
}

// The gradients of both sums are the same dy; adding to one must not change the other.
TEST_CASE("engine: accumulation leaves shared gradients alone") {
  const Variable a = leaf({1, 2}), b = leaf({3, 4});
  backward(sum(add(a, b)));
  const Tensor kept = a.grad();
  backward(sum(scale(a, 10)));
  CHECK(gradient(a) == Values{11, 11});
  CHECK(gradient(b) == Values{1, 1});
  CHECK(kept.to_vector<float>() == Values{1, 1});
}

TEST_CASE("engine: the loss may be a leaf itself") {
  const Variable x = leaf({3});
  backward(x);
  CHECK(gradient(x) == Values{1});
}

TEST_CASE("engine: nothing is recorded under a NoGradGuard, also a nested one") {
  const Variable x = leaf({3});
  {
    const NoGradGuard outer;
    CHECK_FALSE(square(x).requires_grad());
    { const NoGradGuard inner; }
    CHECK_FALSE(square(x).requires_grad());
  }
  const Variable y = square(x);
  CHECK(y.requires_grad());
  backward(y);
  CHECK(gradient(x) == Values{6});
  CHECK(error_of([&] {
          const NoGradGuard guard;
          backward(square(x));
        }) == "[backward] the loss does not depend on anything that requires a gradient");
}

// loss = x * sg[x^2]: only the first factor counts.
TEST_CASE("engine: stop_gradient and detach cut the history, not the value") {
  const Variable x = leaf({3});
  const Variable frozen = stop_gradient(square(x));
  CHECK(frozen.item() == 9);
  CHECK_FALSE(frozen.requires_grad());
  backward(mul(x, frozen));
  CHECK(gradient(x) == Values{9});
  const Variable y = leaf({3});
  CHECK(y.detach().value().shares_storage_with(y.value()));
  backward(mul(y.detach(), y));
  CHECK(gradient(y) == Values{3});
}

TEST_CASE("engine: inputs that need no gradient get none, and it is not computed") {
  const Variable x(ops::full({2, 6, 6, 3}, 0.5f, test_device()));
  const Variable weight(ops::full({4, 3, 3, 3}, 0.1f, test_device()), true);
  const Variable target(ops::zeros({2, 4, 4, 4}, test_device()));
  Profile profile;
  backward(mse(conv2d(x, weight, {}, {1, 0}), target));
  CHECK(weight.grad().defined());
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(target.grad().defined());
  CHECK(profile.entries().count("conv2d_grad_input") == 0);
  CHECK(profile.entries().at("conv2d_grad_weight").calls == 1);
  CHECK(profile.entries().at("mse_grad").calls == 1);
}

TEST_CASE("engine: a gradient that is left undefined stops there") {
  const Variable a = leaf({2}), b = leaf({5});
  const Variable y =
      record("choosy", ops::mul(a.value(), b.value()), {a, b}, [b](const Tensor& dy) {
        return Gradients{ops::mul(dy, b.value()), Tensor()};
      });
  backward(y);
  CHECK(gradient(a) == Values{5});
  CHECK_FALSE(b.grad().defined());
}

TEST_CASE("engine: what is no scalar, needs no gradient or returns nonsense is an error") {
  const Variable x = leaf({1, 2});
  CHECK(error_of([&] { backward(x); }) == "[backward] needs a scalar, got [2]");
  CHECK(error_of([&] { backward(sum(Variable(x.value()))); }) ==
        "[backward] the loss does not depend on anything that requires a gradient");
  const Variable wrong_shape =
      record("odd", sum(x).value(), {x}, [](const Tensor& dy) { return dy; });
  CHECK(error_of([&] { backward(wrong_shape); }) ==
        "[backward] odd returned a gradient [1] for an input [2]");
  const Variable wrong_count = record("many", sum(x).value(), {x}, [](const Tensor& dy) {
    return Gradients{dy, dy};
  });
  CHECK(error_of([&] { backward(wrong_count); }) ==
        "[backward] many returned 2 gradients for 1 inputs");
}

// A chain of squares keeps one tensor per link. At its far end most of them must be gone already.
TEST_CASE("engine: backward frees what the nodes saved as it goes") {
  constexpr int kLinks = 20;
  constexpr size_t kBytes = 1 << 20;
  MemoryPool& pool = backend_for(test_device()).pool();
  const Variable x(ops::full({kBytes / 4}, 1.f, test_device()), true);
  const size_t before = pool.current_bytes();
  size_t at_the_end = 0;
  Variable y = record("probe", x.value(), {x}, [&](const Tensor& dy) {
    at_the_end = pool.current_bytes();
    return dy;
  });
  for (int i = 0; i < kLinks; ++i) y = square(y);
  y = sum(y);
  CHECK(pool.current_bytes() >= before + (kLinks - 1) * kBytes);
  backward(y);
  CHECK(at_the_end <= before + 3 * kBytes);
  CHECK(x.grad().bytes() == kBytes);
  CHECK(pool.current_bytes() <= before + kBytes + 64);  // the gradient and the loss
}

TEST_CASE("engine: a loss that has run holds on to nothing") {
  MemoryPool& pool = backend_for(test_device()).pool();
  const size_t before = pool.current_bytes();
  Variable loss;
  {
    const Variable x(ops::full({1 << 18}, 1.f, test_device()), true);
    loss = sum(square(x));
    backward(loss);
  }
  CHECK(loss.item() == 1 << 18);
  CHECK(pool.current_bytes() <= before + 64);
}

}  // namespace
}  // namespace versor::testing
