// The shim that runs kernels on the CPU (cuda_on_cpu.h): what it promises to the tests of kernels.
// Only part of the program that tests the kernel files; needs no device.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/cuda_on_cpu.h"

namespace versor::testing {
namespace {

using cuda_on_cpu::launch;
using cuda_on_cpu::Order;

constexpr unsigned kAll = 0xffffffffu;
const std::string kDivergent = "kernel test: divergent barrier: of ";

// Sets the order of threads and blocks while it lives.
class Ordered {
 public:
  explicit Ordered(Order order) : before_(cuda_on_cpu::set_order(order)) {}
  ~Ordered() { cuda_on_cpu::set_order(before_); }
  Ordered(const Ordered&) = delete;
  Ordered& operator=(const Ordered&) = delete;

 private:
  Order before_;
};
constexpr Order kOrders[] = {Order::forward, Order::reverse};

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "nothing thrown";
}

// Runs `body(thread)` in one block.
void run(unsigned threads, std::function<void(int)> body) {
  launch("test", 1, threads, [body = std::move(body)] { body(static_cast<int>(threadIdx.x)); });
}

TEST_CASE("cuda_on_cpu: every thread of every block runs once, in three dimensions") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    const dim3 blocks(3, 2, 4), threads(5, 3, 2);
    std::vector<int> runs(3 * 2 * 4 * 5 * 3 * 2, 0);
    launch("test", blocks, threads, [&] {
      CHECK(gridDim.y == 2);
      CHECK(blockDim.z == 2);
      const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
      const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
      ++runs[block * 30 + thread];
    });
    CHECK(std::ranges::all_of(runs, [](int count) { return count == 1; }));
  }
}

// Without its barriers this would read what the neighbour has not written yet.
TEST_CASE("cuda_on_cpu: __syncthreads separates writing from reading, again and again") {
  for (Order order : kOrders)
    for (int threads : {1, 2, 33, 256, 1024}) {
      CAPTURE(threads);
      const Ordered scope(order);
      std::vector<int> shared(threads);
      std::iota(shared.begin(), shared.end(), 0);
      run(threads, [&](int t) {
        for (int round = 0; round < 5; ++round) {
          const int neighbour = shared[(t + 1) % threads];
          __syncthreads();
          shared[t] = neighbour;
          __syncthreads();
        }
      });
      for (int t = 0; t < threads; ++t) CHECK(shared[t] == (t + 5) % threads);
    }
}

TEST_CASE("cuda_on_cpu: a race gives different answers in the two orders") {
  std::vector<int> results;
  for (Order order : kOrders) {
    const Ordered scope(order);
    int last = -1;
    run(64, [&](int t) { last = t; });
    results.push_back(last);
    std::vector<int> shifted(64, -1), source(64, -1);
    run(64, [&](int t) {
      source[t] = t;
      shifted[t] = source[(t + 1) % 64];  // a barrier is missing before
    });
    results.push_back(shifted[10]);
  }
  CHECK(results == std::vector<int>{63, -1, 0, 11});
}

TEST_CASE("cuda_on_cpu: blocks run in the order that is set") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    std::vector<unsigned> seen;
    launch("test", 4, 1, [&] { seen.push_back(blockIdx.x); });
    const std::vector<unsigned> up{0, 1, 2, 3}, down{3, 2, 1, 0};
    CHECK(seen == (order == Order::forward ? up : down));
  }
}

template <class T>
void check_shuffles(T unit) {
  for (Order order : kOrders) {
    const Ordered scope(order);
    run(64, [&](int t) {
      const int lane = t % 32, base = t - lane;
      const auto value = [&](int thread) { return static_cast<T>(thread + 1) * unit; };
      CHECK(__shfl_sync(kAll, value(t), (lane + 5) % 32) == value(base + (lane + 5) % 32));
      CHECK(__shfl_sync(kAll, value(t), 1, 8) == value(base + lane / 8 * 8 + 1));
      CHECK(__shfl_xor_sync(kAll, value(t), 16) == value(base + (lane ^ 16)));
      CHECK(__shfl_xor_sync(kAll, value(t), 3, 4) == value(base + (lane ^ 3)));
      CHECK(__shfl_down_sync(kAll, value(t), 1) == value(lane == 31 ? t : t + 1));
      CHECK(__shfl_down_sync(kAll, value(t), 2, 4) == value(lane % 4 < 2 ? t + 2 : t));
      T sum = value(t);
      for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAll, sum, bits);
      CHECK(sum == static_cast<T>(32 * base + 31 * 16 + 32) * unit);
    });
  }
}

TEST_CASE("cuda_on_cpu: shuffles carry all types of 4 and 8 bytes") {
  check_shuffles<int>(-3);
  check_shuffles<unsigned>(0x02000000u);
  check_shuffles<float>(0.5f);
  check_shuffles<double>(0x1p-40);
  check_shuffles<int64_t>(int64_t{1} << 40);
}

TEST_CASE("cuda_on_cpu: ballots, partial masks, the short last warp, __popc and __ffs") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    run(40, [&](int t) {
      const unsigned odd = __ballot_sync(kAll, t % 2);
      CHECK(odd == (t < 32 ? 0xaaaaaaaau : 0xaau));
      CHECK(__popc(odd) == (t < 32 ? 16 : 4));
      CHECK(__ffs(static_cast<int>(odd)) == 2);
      __syncwarp();
      if (t >= 32) return;
      const unsigned half = t < 16 ? 0x0000ffffu : 0xffff0000u;  // the halves diverge
      if (t < 16) CHECK(__ballot_sync(half, t < 3) == 7u);
      CHECK(__shfl_sync(half, t, t / 16 * 16 + 2) == t / 16 * 16 + 2);
    });
  }
  CHECK(__ffs(0) == 0);
  CHECK(__popc(0) == 0);
}

TEST_CASE("cuda_on_cpu: a warp runs ahead of the others until a barrier of the block holds it") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    const auto seen_by_warps = [](bool barrier) {
      std::vector<int> written(4, 0), seen(4, 0);
      run(4 * 32, [&](int t) {
        const int warp = t / 32;
        if (t % 32 == 0) written[warp] = 1;
        __syncthreads();
        const int sum = std::accumulate(written.begin(), written.end(), 0);
        if (t % 32 == 1) seen[warp] = sum;
        __shfl_sync(kAll, t, 0);  // waits only for the warp's own lanes
        if (barrier) __syncthreads();
        if (t % 32 == 0) written[warp] = 10;
      });
      return seen;
    };
    CHECK(seen_by_warps(true) == std::vector<int>(4, 4));
    std::vector<int> overtaken{4, 13, 22, 31};
    if (order == Order::reverse) std::ranges::reverse(overtaken);
    CHECK(seen_by_warps(false) == overtaken);
  }
}

TEST_CASE("cuda_on_cpu: atomics return what was there before") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    int sum = 0, lowest = 1000;
    unsigned count = 0;
    unsigned long long best = ~0ull;
    std::vector<int> taken(100, 0);
    run(100, [&](int t) {
      ++taken[atomicAdd(&count, 1u)];
      atomicAdd(&sum, -t);
      atomicMin(&lowest, (t + 50) % 100 - 7);
      atomicMin(&best, (uint64_t{1} << 40) + (t + 33) % 100);
    });
    CHECK(std::ranges::all_of(taken, [](int times) { return times == 1; }));
    CHECK(sum == -4950);
    CHECK(lowest == -7);
    CHECK(best == uint64_t{1} << 40);
  }
  int value = 5;
  CHECK(atomicMin(&value, 7) == 5);
  CHECK(atomicAdd(&value, 2) == 5);
  CHECK(value == 7);
}

TEST_CASE("cuda_on_cpu: threads that wait for others that never come are reported") {
  for (Order order : kOrders) {
    const Ordered scope(order);
    CHECK(message_of([] {
            run(64, [](int t) {
              if (t >= 5) __syncthreads();
            });
          }) == kDivergent +
                    "64 threads 59 wait at __syncthreads, 0 at a warp intrinsic, "
                    "5 have ended");
    CHECK(message_of([] { run(32, [](int t) { t < 8 ? __syncthreads() : __syncwarp(); }); }) ==
          kDivergent +
              "32 threads 8 wait at __syncthreads, 24 at a warp intrinsic, "
              "0 have ended");
    CHECK(message_of([] {
            run(33, [](int t) {
              if (t != 7) __ballot_sync(kAll, 1);
            });
          }) == kDivergent +
                    "33 threads 0 wait at __syncthreads, 31 at a warp intrinsic, "
                    "2 have ended");
  }
}

TEST_CASE("cuda_on_cpu: warp intrinsics that do not fit together are reported") {
  const Ordered forward(Order::forward);
  CHECK(message_of([] {
          run(32, [](int t) { __ballot_sync(t < 16 ? kAll : 0xffff0000u, 1); });
        }).starts_with("kernel test: "));
  CHECK(message_of([] {
          run(32, [](int t) {
            if (t < 16) __syncwarp();
            if (t >= 16) __ballot_sync(kAll, 1);
          });
        }) == "kernel test: lanes of a warp meet at __syncwarp and __ballot_sync");
  CHECK(message_of([] { run(32, [](int) { __syncwarp(1); }); }) ==
        "kernel test: __syncwarp: the mask lacks the caller");
  CHECK(message_of([] { run(20, [](int t) { __shfl_sync(kAll, t, 20); }); }) ==
        "kernel test: __shfl_sync reads lane 20, which is not there");
  alignas(8) unsigned char bytes[16] = {};
  auto* misaligned = reinterpret_cast<unsigned long long*>(bytes + 4);
  CHECK(message_of([&] { run(1, [&](int) { atomicMin(misaligned, 1ull); }); }) ==
        "kernel test: atomicMin of a misaligned address");
  CHECK(message_of([] { run(1025, [](int) {}); }) == "kernel test: a block of 1025");
}

// Counts how many objects of it live.
struct Counted {
  explicit Counted(int& living) : count(living) { ++count; }
  ~Counted() { --count; }
  int& count;
};

TEST_CASE("cuda_on_cpu: what a thread throws comes out, and the next launch is none the worse") {
  for (Order order : kOrders)
    for (int thrower : {0, 100, 255}) {
      const Ordered scope(order);
      int living = 0, after = 0;
      CHECK(message_of([&] {
              run(256, [&](int t) {
                const Counted object(living);
                __syncthreads();
                if (t == thrower) throw std::runtime_error("thread " + std::to_string(t));
                __syncthreads();
                ++after;
              });
            }) == "thread " + std::to_string(thrower));
      CHECK(living == 0);  // the stacks of the waiting threads were unwound
      CHECK(after == 0);
      run(256, [&](int) {
        __syncthreads();
        ++after;
      });
      CHECK(after == 256);
    }
}

TEST_CASE("cuda_on_cpu: a capture runs nothing; replayed it sees the data of that moment") {
  int x = 1;
  std::vector<int> y(3, 0);
  CHECK_FALSE(cuda_on_cpu::is_capturing());
  cuda_on_cpu::begin_capture();
  CHECK(cuda_on_cpu::is_capturing());
  CHECK(message_of(cuda_on_cpu::begin_capture) == "a capture runs already");
  run(3, [&, factor = 10](int t) { y[t] = x * factor + t; });
  cuda_on_cpu::enqueue([&] { x *= 2; });
  const std::vector<cuda_on_cpu::Work> captured = cuda_on_cpu::end_capture();
  CHECK_FALSE(cuda_on_cpu::is_capturing());
  CHECK(captured.size() == 2);
  CHECK(y == std::vector<int>{0, 0, 0});
  CHECK(x == 1);
  for (int replay = 0; replay < 2; ++replay)
    for (const cuda_on_cpu::Work& work : captured) work();
  CHECK(y == std::vector<int>{20, 21, 22});
  CHECK(x == 4);
}

TEST_CASE("cuda on cpu: a branch is replayed late, or in turns with what is beside it") {
  std::string order;
  const auto note = [&](char c) { cuda_on_cpu::enqueue([&order, c] { order += c; }); };
  const auto work = [&] {
    note('a');
    cuda_on_cpu::begin_branch();
    for (char c : {'1', '2', '3', '4'}) note(c);
    cuda_on_cpu::end_branch();
    note('b');
    note('c');
  };
  const auto replayed = [&](Order chosen) {
    const Ordered scope(chosen);
    cuda_on_cpu::begin_capture();
    work();
    cuda_on_cpu::join_branch();
    note('d');
    order.clear();
    for (const cuda_on_cpu::Work& one : cuda_on_cpu::end_capture()) one();
    return order;
  };
  work();
  CHECK(order == "a1234bc");  // not captured
  cuda_on_cpu::join_branch();
  CHECK(replayed(Order::forward) == "abc1234d");
  CHECK(replayed(Order::reverse) == "a1b2c34d");

  cuda_on_cpu::begin_capture();
  work();
  CHECK(message_of(cuda_on_cpu::end_capture) ==
        "the capture ends before its branch has been joined");
  CHECK_FALSE(cuda_on_cpu::is_capturing());
}

}  // namespace
}  // namespace versor::testing
