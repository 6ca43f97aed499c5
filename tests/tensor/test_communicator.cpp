// Communication between ranks: the checked front end, a process that is alone, and the threads that
// stand for ranks in other tests.
#include "tensor/ops.h"
#include "tests/support.h"
#include "tests/thread_communicator.h"

using namespace versor;
using namespace versor::testing;

TEST_CASE("communicator: a process that is alone has the sums of all" * cpu_only()) {
  Communicator& one = alone();
  Tensor x = Tensor::from(std::vector<float>{1, 2}, {2});
  one.all_reduce(x);
  one.start_all_reduce(x);
  one.finish();
  one.broadcast(x);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2});
  CHECK(one.all_gather_rows(x).to_vector<float>() == std::vector<float>{1, 2});
  CHECK(one.all_gather("a") == std::vector<std::string>{"a"});
  CHECK(one.largest(-3) == -3);
  CHECK(one.is_root());
  Tensor bytes({2}, DType::u8);
  CHECK_THROWS_AS(one.all_reduce(bytes), Error);
  CHECK_THROWS_AS(one.broadcast(x, 1), Error);
}

TEST_CASE("communicator: threads as ranks reduce, spread and gather" * cpu_only()) {
  run_ranks(3, [](ThreadCommunicator& c) {
    const auto r = static_cast<float>(c.rank());
    Tensor x = Tensor::from(std::vector<float>{r, 1, -r}, {3});
    Tensor most = ops::clone(x), started = ops::clone(x);
    c.all_reduce(x);
    check(x.to_vector<float>() == std::vector<float>{3, 3, -3}, "test", "sum");
    c.all_reduce(most, Reduction::max);
    check(most.to_vector<float>() == std::vector<float>{2, 1, 0}, "test", "max");
    c.start_all_reduce(started);
    c.finish();
    check(started.to_vector<float>() == std::vector<float>{3, 3, -3}, "test", "started sum");
    Tensor counts = Tensor::from(std::vector<int32_t>{c.rank()}, {1});
    c.all_reduce(counts);
    check(counts.to_vector<int32_t>()[0] == 3, "test", "i32");
    Tensor from = Tensor::from(std::vector<int32_t>{c.rank()}, {1});
    c.broadcast(from, 2);
    check(from.to_vector<int32_t>()[0] == 2, "test", "broadcast");
    // As many rows as the rank's number: none, one, two.
    const Tensor rows = ops::full({c.rank(), 2}, r);
    check(c.all_gather_rows(rows).to_vector<float>() == std::vector<float>{1, 1, 2, 2, 2, 2},
          "test", "rows");
    Tensor guard = ops::new_guard();
    if (c.rank() == 1) guard.copy_from_host(std::vector<int32_t>{7, 20}.data());
    if (c.rank() == 2) guard.copy_from_host(std::vector<int32_t>{9, 4}.data());
    c.all_reduce_guard(guard);
    check(guard.to_vector<int32_t>() == std::vector<int32_t>{9, 4}, "test", "guard");
    check(c.largest(c.rank()) == 2, "test", "largest");
  });
}

TEST_CASE("communicator: ranks whose calls differ, or one that fails, are errors" * cpu_only()) {
  CHECK_THROWS_AS(run_ranks(2,
                            [](ThreadCommunicator& c) {
                              Tensor x = ops::zeros({1 + c.rank()});
                              c.all_reduce(x);
                            }),
                  Error);
  CHECK_THROWS_WITH(run_ranks(2,
                              [](ThreadCommunicator& c) {
                                if (c.rank() == 1) fail("test", "here");
                                Tensor x = ops::zeros({1});
                                c.all_reduce(x);
                              }),
                    "[test] here");
}
