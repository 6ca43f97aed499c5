// Sums of gradients over ranks: buckets in the order of completion, started while backward() runs.
#include <set>

#include "autograd/functions.h"
#include "nn/gradient_sums.h"
#include "tensor/ops.h"
#include "tests/thread_communicator.h"
#include "tests/vq/support.h"

namespace versor::testing {
namespace {

// Writes down the order of what is called.
class Recorded final : public Communicator {
 public:
  std::vector<std::string> calls;

  int size() const override { return 2; }  // so that calls are not left out
  std::vector<std::string> all_gather(const std::string& text) override { return {text, text}; }
  std::string broadcast(const std::string& text, int) override { return text; }
  using Communicator::broadcast;
  void finish() override { calls.emplace_back("finish"); }

 protected:
  void start(const Tensor& x) override { calls.push_back(str("sum of ", x.numel())); }
};

Variable parameter(float value) {
  return Variable(ops::full({100}, value, test_device()), /*requires_grad=*/true);
}

}  // namespace

TEST_CASE("backward: a leaf is reported when all of its gradient is there") {
  const Variable a = parameter(2), b = parameter(3), unused = parameter(4);
  Variable product = mul(a, b);
  const Variable loss = sum(mul(product, a));  // a is used twice
  std::vector<const void*> done;
  std::vector<double> gradients;
  backward(loss, [&](const Variable& leaf) {
    done.push_back(leaf.value().address());
    gradients.push_back(to_array(leaf.grad())[0]);
  });
  CHECK(done.size() == 2);
  CHECK(std::set(done.begin(), done.end()) ==
        std::set<const void*>{a.value().address(), b.value().address()});
  for (size_t i = 0; i < done.size(); ++i)
    CHECK(gradients[i] == (done[i] == a.value().address() ? 12 : 4));  // 2ab, a^2
  CHECK(!unused.grad().defined());
}

TEST_CASE("gradient sums: buckets in the order of completion, before backward has ended") {
  const Variable first = parameter(1), middle = parameter(2), last = parameter(3),
                 unused = parameter(4);
  Recorded communicator;
  // Room for two parameters, each of which takes 128 numbers in the buffer.
  GradientSums sums({first, middle, unused, last}, communicator, 256 * sizeof(float));
  const auto step = [&] {
    for (Variable p : {first, middle, last, unused}) p.zero_grad();
    const Variable x = mul(first, first);
    const Variable y =
        record("look", mul(x, middle).value(), {mul(x, middle)}, [&](const Tensor& dy) {
          communicator.calls.emplace_back("look");
          return dy;
        });
    const Variable z = mul(y, last);
    backward(sum(z), sums.leaf_done());
    sums.finish();
  };
  step();  // the order is not known yet: all at the end
  CHECK(communicator.calls ==
        std::vector<std::string>{"look", "sum of 256", "sum of 256", "finish"});
  CHECK(sums.bucket_sizes() == std::vector<int64_t>{256, 256});
  communicator.calls.clear();
  step();  // last and middle first; the other bucket has first and the parameter without a gradient
  CHECK(communicator.calls ==
        std::vector<std::string>{"look", "sum of 256", "sum of 256", "finish"});
  CHECK(!unused.grad().defined());
  CHECK(to_array(first.grad())[0] == 12);
  CHECK(to_array(last.grad())[0] == 2);
}

TEST_CASE("gradient sums: a bucket starts as soon as it is complete") {
  const Variable a = parameter(1), b = parameter(2), c = parameter(3);
  Recorded communicator;
  GradientSums sums({a, b, c}, communicator, 1);  // a bucket each
  for (int i = 0; i < 2; ++i) {
    for (Variable p : {a, b, c}) p.zero_grad();
    communicator.calls.clear();
    const auto look = [&](const Variable& x) {
      return record("look", x.value(), {x}, [&](const Tensor& dy) {
        communicator.calls.emplace_back("look");
        return dy;
      });
    };
    const Variable x = look(mul(a, a));
    const Variable y = look(mul(x, b));
    backward(sum(mul(y, c)), sums.leaf_done());
    communicator.calls.emplace_back("end of backward");
    sums.finish();
  }
  CHECK(communicator.calls == std::vector<std::string>{"sum of 128", "look", "sum of 128", "look",
                                                       "sum of 128", "end of backward", "finish"});
}

TEST_CASE("gradient sums: over ranks, and over the micro-batches of each" * cpu_only()) {
  run_ranks(3, [](ThreadCommunicator& communicator) {
    const Variable a(ops::full({3}, 1), true), b(ops::full({70}, 2), true);
    GradientSums sums({a, b}, communicator, 4);
    for (int step = 0; step < 2; ++step) {
      for (Variable p : {a, b}) p.zero_grad();
      const float r = static_cast<float>(communicator.rank()) + 1;
      const auto loss = [&](float weight) {
        return add(sum(scale(a, weight)), sum(scale(b, 10 * weight)));
      };
      backward(loss(r));
      backward(loss(100 * r), sums.leaf_done());
      sums.finish();
      check(a.grad().to_vector<float>() == std::vector<float>(3, 606), "test", "a");
      check(b.grad().to_vector<float>() == std::vector<float>(70, 6060), "test", "b");
    }
  });
}

}  // namespace versor::testing
