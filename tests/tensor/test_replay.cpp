// Replay: on a device that can capture, later calls replay the work; the results equal those of
// work that is run every time, and no other memory is touched.
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

std::shared_ptr<MemoryPool::Arena> new_arena() {
  return std::make_shared<MemoryPool::Arena>(backend_for(test_device()).pool());
}

// sum[i] += (x[i] + 1)^2 by way of short-lived tensors, and count += 1.
struct Work {
  Tensor x = on_device<float>({1, 2, 3}, {3});
  Tensor ones = ops::full({3}, 1.f, test_device());
  Tensor sum = ops::zeros({3}, test_device());
  Tensor count = ops::zeros({1}, test_device(), DType::i32);

  void operator()() {
    const Tensor more = ops::add(x, ones);
    ops::copy(sum, ops::add(sum, ops::unary(more, UnaryOp::square)));
    ops::increment(count);
  }
  void check_after(int calls) const {
    const auto n = static_cast<float>(calls);
    CHECK(sum.to_vector<float>() == std::vector<float>{4 * n, 9 * n, 16 * n});
    CHECK(count.to_vector<int32_t>() == std::vector<int32_t>{calls});
  }
};

}  // namespace

TEST_CASE("replay: every call counts, captured or not") {
  for (bool capture : {false, true}) {
    Work work;
    Replay replay(backend_for(test_device()), new_arena(), capture);
    for (int call = 1; call <= 5; ++call) {
      replay.run([&] { work(); });
      work.check_after(call);
    }
    CHECK(replay.captured() == (capture && on_other_device()));
  }
}

TEST_CASE("replay: what changes is read from tensors that stay where they are") {
  Work work;
  Replay replay(backend_for(test_device()), new_arena(), true);
  for (int call = 0; call < 3; ++call) replay.run([&] { work(); });
  ops::fill(work.x, 0.f);
  replay.run([&] { work(); });
  CHECK(work.sum.to_vector<float>() == std::vector<float>{13, 28, 49});
}

TEST_CASE("replay: memory taken after the capture is never written by a replay") {
  const auto arena = new_arena();
  Work first, second;
  Replay one(backend_for(test_device()), arena, true), two(backend_for(test_device()), arena, true);
  for (int call = 0; call < 2; ++call) {  // both are captured, in one arena
    one.run([&] { first(); });
    two.run([&] { second(); });
  }
  std::vector<Tensor> others;  // as many blocks of the same size as the pool can give
  for (int i = 0; i < 40; ++i)
    others.push_back(ops::full({3}, static_cast<float>(i), test_device()));
  for (int call = 0; call < 2; ++call) {
    one.run([&] { first(); });
    two.run([&] { second(); });
  }
  first.check_after(4);
  second.check_after(4);
  for (int i = 0; i < 40; ++i)
    CHECK(others[i].to_vector<float>() == std::vector<float>(3, static_cast<float>(i)));
}

TEST_CASE("replay: an error in the work reaches the caller, and the device goes on") {
  Replay replay(backend_for(test_device()), new_arena(), true);
  Work work;
  replay.run([&] { work(); });
  for (int attempt = 0; attempt < 2; ++attempt)
    CHECK(error_of([&] { replay.run([] { fail("test", "on purpose"); }); }) == "[test] on purpose");
  Work other;
  other();
  other.check_after(1);
  replay.run([&] { work(); });
  work.check_after(2);
}

TEST_CASE("replay: the host cannot read in the middle of a capture" *
          doctest::skip(!on_other_device())) {
  Replay replay(backend_for(test_device()), new_arena(), true);
  Work work;
  const auto reading = [&] {
    work();
    work.sum.to_vector<float>();
  };
  replay.run(reading);
  CHECK(contains(error_of([&] { replay.run(reading); }), "captured"));
}

}  // namespace versor::testing
