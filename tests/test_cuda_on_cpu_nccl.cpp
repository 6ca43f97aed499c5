// Faults of communication, which cuda_on_cpu_nccl.cpp has to find and the library to report. Only
// part of the program that tests the kernel files; needs no device.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>

#include "tensor/cuda/nccl.h"
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tests/cuda_on_cpu.h"
#include "tests/cuda_on_cpu_nccl.h"
#include "tests/support.h"
#include "tests/thread_communicator.h"

namespace versor::testing {
namespace {

constexpr int kSystemError = 2;  // ncclSystemError

// What running `part` on two ranks throws first.
std::string error_of_ranks(
    const std::function<void(Communicator& nccl, Device device, int rank)>& part) {
  return error_of([&] {
    run_ranks(2, [&](ThreadCommunicator& host) {
      const Device device{DeviceType::cuda, host.rank()};
      part(*cuda::nccl_communicator(device, host), device, host.rank());
    });
  });
}

Tensor ones(int64_t n, Device device) {
  return ops::full({n}, 1.f, device);
}

TEST_CASE("cuda_on_cpu: ranks whose calls of NCCL differ are errors") {
  CHECK(contains(error_of_ranks([](Communicator& c, Device device, int rank) {
                   Tensor x = ones(3 + rank, device);
                   c.all_reduce(x);
                 }),
                 "calls differ: call 1, ncclAllReduce of 3 of type 7 by 0 and call 1, "
                 "ncclAllReduce of 4 of type 7 by 0"));
  CHECK(contains(error_of_ranks([](Communicator& c, Device device, int rank) {
                   Tensor x = ones(4, device);
                   if (rank == 0) c.all_reduce(x);
                   c.all_reduce(x, Reduction::max);
                 }),
                 "calls differ"));
  CHECK(contains(error_of_ranks([](Communicator& c, Device device, int rank) {
                   Tensor x = ones(4, device);
                   if (rank == 0) c.broadcast(x);
                 }),
                 "and ncclCommDestroy"));
  CHECK(contains(error_of_ranks([](Communicator& c, Device device, int rank) {  // one is captured
                   Tensor x = ones(4, device);
                   Backend& backend = backend_for(device);
                   Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()),
                                 rank == 1);
                   for (int i = 0; i < 2; ++i) replay.run([&] { c.all_reduce(x); });
                 }),
                 "call 2, captured, ncclAllReduce"));
}

TEST_CASE("cuda_on_cpu: a rank that fails ends the other's call of NCCL") {
  CHECK(error_of_ranks([](Communicator& c, Device device, int rank) {
          Tensor x = ones(4, device);
          check(rank == 0, "test", "on purpose");
          c.all_reduce(x);
        }) == "[test] on purpose");
}

// In the forward order the sum is made as late as it may, in the other at once.
TEST_CASE("cuda_on_cpu: nobody may write to a sum that was started, or use it") {
  const auto before = cuda_on_cpu::set_order(cuda_on_cpu::Order::forward);
  for (const bool capture : {false, true}) {
    CAPTURE(capture);
    const auto run = [&](const std::function<void(Tensor&)>& meddle) {
      std::vector<float> result;
      const std::string error = error_of([&] {
        Communicator one;
        const Device device{DeviceType::cuda, 0};
        const auto nccl = cuda::nccl_communicator(device, one);
        Backend& backend = backend_for(device);
        Tensor x({2}, DType::f32, device), y({2}, DType::f32, device);
        Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()), capture);
        for (int i = 0; i < 3; ++i)
          replay.run([&] {
            ops::fill(x, 1);
            nccl->start_all_reduce(x);
            meddle(x);
            ops::copy(y, x);
            nccl->finish();
          });
        result = x.to_vector<float>();
        for (const float value : y.to_vector<float>()) CHECK(std::isnan(value));
      });
      return error.empty() ? str(result[0]) : error;
    };
    CHECK(run([](Tensor&) {}) == "1");
    CHECK(contains(run([](Tensor& x) { ops::fill(x, 2); }), "somebody else has written"));
  }
  cuda_on_cpu::set_order(before);
}

TEST_CASE("cuda_on_cpu: NCCL's errors have its text, in one line") {
  const Device device{DeviceType::cuda, 0};
  Communicator one;
  const auto nccl = cuda::nccl_communicator(device, one);
  Tensor x = ones(4, device);
  cuda_on_cpu::fail_next_nccl_call(kSystemError, "Call to socket failed\nat line 3\n");
  const std::string error = error_of([&] { nccl->all_reduce(x); });
  CHECK(contains(error, "[nccl] ncclAllReduce("));
  CHECK(contains(error, " failed: unhandled system error: Call to socket failed at line 3"));
  CHECK_FALSE(contains(error, "\n"));
  cuda_on_cpu::fail_next_nccl_call(kSystemError, "");  // in a group, which has to be closed
  CHECK(contains(error_of([&] { nccl->all_gather_rows(x); }), "ncclBroadcast failed"));
  CHECK(nccl->all_gather_rows(x).to_vector<float>() == x.to_vector<float>());
}

// Whose end is that of the thread that calls for it.
class EndedRank final : public Communicator {
 public:
  explicit EndedRank(std::atomic<int>& code) : code_(code) {}
  std::string name_of(int) const override { return "rank 0"; }
  [[noreturn]] void abort(int exit_code) override {
    code_ = exit_code;
    pthread_exit(nullptr);
  }

 private:
  std::atomic<int>& code_;
};

// Where the program itself waits for the GPU for ever.
TEST_CASE("cuda_on_cpu: a fault that NCCL's threads report ends all ranks after a while") {
  std::FILE* said = std::tmpfile();
  REQUIRE(said != nullptr);
  const int before = dup(STDERR_FILENO);
  std::atomic<int> code = 0;
  {
    EndedRank host(code);
    const auto nccl =
        cuda::nccl_communicator({DeviceType::cuda, 0}, host, std::chrono::milliseconds(40));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(code == 0);
    dup2(fileno(said), STDERR_FILENO);
    cuda_on_cpu::set_nccl_fault(kSystemError);
    for (int i = 0; i < 10'000 && code == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cuda_on_cpu::set_nccl_fault(0);
  }
  dup2(before, STDERR_FILENO);
  close(before);
  CHECK(code == 1);
  char line[100] = "";
  std::rewind(said);
  CHECK(std::fgets(line, sizeof(line), said) != nullptr);
  std::fclose(said);
  CHECK(std::string(line) == "error: rank 0: [nccl] unhandled system error\n");
}

TEST_CASE("cuda_on_cpu: a rank without NCCL is named by rank 0") {
  for (const int failing : {0, 1}) {
    const std::string error = error_of([&] {
      run_ranks(2, [&](ThreadCommunicator& host) {
        if (host.rank() == failing) cuda_on_cpu::fail_next_nccl_call(kSystemError, "no library");
        cuda::nccl_communicator({DeviceType::cuda, host.rank()}, host);
      });
    });
    CHECK(error ==
          std::string(failing == 0 ? "" : "rank 1: ") +
              "[nccl] ncclGetVersion(&version) failed: unhandled system error: no library");
  }
}

}  // namespace
}  // namespace versor::testing
