// The memory pool: counters, reuse, and what it says when memory is out.
#include <stdlib.h>

#include <algorithm>
#include <cmath>

#include "autograd/functions.h"
#include "tensor/cpu/backend.h"
#include "tensor/ops.h"
#include "tests/support.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace versor::testing {
namespace {

// A pool over malloc that counts and that has no block above `limit` bytes.
struct Counted {
  int allocated = 0, freed = 0;
  size_t limit = 1 << 20;
  MemoryPool pool{[this](size_t bytes) -> void* {
                    if (bytes > limit) return nullptr;
                    ++allocated;
                    return std::malloc(bytes);
                  },
                  [this](void* block) {
                    ++freed;
                    std::free(block);
                  }};
};

// A pool whose hooks record their calls.
struct Listening {
  std::vector<std::string> heard;
  MemoryPool pool{
      [](size_t bytes) { return std::malloc(bytes); },
      [](void* block) { std::free(block); },
      {.handed_out = [this](void*, size_t bytes,
                            size_t size) { heard.push_back(str("out ", bytes, " of ", size)); },
       .taken_back = [this](void*, size_t size) { heard.push_back(str("back ", size)); }}};
};

#ifdef __SANITIZE_ADDRESS__
constexpr bool kAddressSanitizer = true;
// The position of the first poisoned byte; `size` if there is none.
size_t first_poisoned(char* block, size_t size) {
  char* place = static_cast<char*>(__asan_region_is_poisoned(block, size));
  return place == nullptr ? size : static_cast<size_t>(place - block);
}
#else
constexpr bool kAddressSanitizer = false;
size_t first_poisoned(char*, size_t size) {
  return size;
}
#endif

TEST_CASE("pool: counts bytes in use, at most, and taken from the device" * cpu_only()) {
  Counted c;
  void* a = c.pool.allocate(1000);
  const size_t size_a = c.pool.current_bytes();
  CHECK(size_a >= 1000);
  CHECK(size_a <= 1125 + 64);
  void* b = c.pool.allocate(4096);
  CHECK(c.pool.current_bytes() == size_a + 4096);
  CHECK(c.pool.peak_bytes() == size_a + 4096);
  c.pool.free(b, 4096);
  CHECK(c.pool.current_bytes() == size_a);
  CHECK(c.pool.peak_bytes() == size_a + 4096);
  CHECK(c.pool.reserved_bytes() == size_a + 4096);
  void* small = c.pool.allocate(64);
  CHECK(c.pool.peak_bytes() == size_a + 4096);  // the peak remains
  c.pool.free(small, 64);
  c.pool.reset_peak();
  CHECK(c.pool.peak_bytes() == size_a);
  CHECK(c.pool.allocate(4096) == b);  // reused
  CHECK(c.pool.raw_allocations() == 3);
  CHECK(c.pool.peak_bytes() == size_a + 4096);
  c.pool.free(a, 1000);
  c.pool.free(b, 4096);
  CHECK(c.pool.current_bytes() == 0);
  CHECK(c.freed == 0);
  c.pool.release_cached();
  CHECK(c.freed == 3);
  CHECK(c.pool.reserved_bytes() == 0);
}

TEST_CASE("pool: blocks are large enough and waste at most an eighth beyond 512 bytes" *
          cpu_only()) {
  for (size_t bytes :
       {0ul, 1ul, 63ul, 64ul, 65ul, 513ul, 1023ul, 1024ul, 1025ul, 65537ul, 100000ul, 1000001ul}) {
    CAPTURE(bytes);
    Counted c;
    void* block = c.pool.allocate(bytes);
    CHECK(c.pool.current_bytes() >= std::max(bytes, size_t{64}));
    CHECK(c.pool.current_bytes() % 64 == 0);
    CHECK(c.pool.current_bytes() <= bytes + std::max(bytes / 8, size_t{64}));
    c.pool.free(block, bytes);
    CHECK(c.pool.current_bytes() == 0);
  }
}

TEST_CASE("pool: everything goes back to the device in the end" * cpu_only()) {
  int allocated = 0, freed = 0;
  {
    MemoryPool pool(
        [&](size_t bytes) {
          ++allocated;
          return std::malloc(bytes);
        },
        [&](void* block) {
          ++freed;
          std::free(block);
        });
    for (size_t bytes : {100, 200, 100}) pool.free(pool.allocate(bytes), bytes);
  }
  CHECK(allocated == 2);
  CHECK(freed == 2);
}

TEST_CASE("pool: out of memory leaves everything as it was and says what is in use" * cpu_only()) {
  Counted c;
  void* a = c.pool.allocate(1024);
  CHECK(c.pool.allocate(3'000'000) == nullptr);
  CHECK(c.pool.current_bytes() == 1024);
  CHECK(c.pool.reserved_bytes() == 1024);
  CHECK(c.pool.state() == "1 KiB in use");
  c.pool.free(a, 1024);
}

TEST_CASE("pool: a limit holds for what is taken, and kept blocks make room" * cpu_only()) {
  Counted c;
  c.pool.set_limit(10'000);
  void* a = c.pool.allocate(4096);
  void* b = c.pool.allocate(4096);
  CHECK(c.pool.allocate(4096) == nullptr);
  CHECK(c.pool.state() == "8 KiB of 9.8 KiB in use");
  CHECK(c.pool.room() == 10'000 - 8192);
  CHECK(c.pool.allocate(size_t{1} << 63) == nullptr);  // the sum of all must not overflow
  c.pool.free(a, 4096);
  void* larger = c.pool.allocate(5000);  // fits once the kept block is given back
  CHECK(larger != nullptr);
  CHECK(c.pool.reserved_bytes() <= 10'000);
  c.pool.free(b, 4096);
  c.pool.set_limit(1000);
  CHECK(c.pool.room() == 0);
  c.pool.free(larger, 5000);
}

TEST_CASE("pool: readable numbers of bytes" * cpu_only()) {
  CHECK(readable_bytes(640) == "640 bytes");
  CHECK(readable_bytes(1536) == "1.5 KiB");
  CHECK(readable_bytes(size_t{5} << 40) == "5 TiB");
}

TEST_CASE("memory: a tensor that cannot be had says who asked for how much" * cpu_only()) {
  const std::string error = error_of([] { ops::zeros({1 << 20, 1 << 20, 128}); });
  CAPTURE(error);
  CHECK(contains(error, "[full] cannot allocate 512 TiB for f32 [1048576,1048576,128] on cpu"));
  CHECK(contains(error, " in use"));
  // The shape itself may be beyond what can be counted.
  CHECK_FALSE(error_of([] { Tensor({INT64_MAX, 4}); }).empty());
}

TEST_CASE("pool: an arena's blocks come back to it and to nobody else" * cpu_only()) {
  Counted c;
  void* outside = c.pool.allocate(1000);
  c.pool.free(outside, 1000);
  void* inside = nullptr;
  {
    MemoryPool::Arena arena(c.pool);
    {
      const MemoryPool::ArenaScope scope(arena);
      inside = c.pool.allocate(1000);
      CHECK(inside != outside);  // the pool's kept block is not the arena's
      c.pool.free(inside, 1000);
      CHECK(c.pool.allocate(1000) == inside);
      CHECK(error_of([&] { const MemoryPool::ArenaScope second(arena); }) ==
            "[memory] an arena is open already");
    }
    c.pool.free(inside, 1000);  // after it was closed
    CHECK(c.pool.allocate(1000) == outside);
    void* third = c.pool.allocate(1000);
    CHECK(third != inside);
    c.pool.free(third, 1000);
    c.pool.release_cached();
    CHECK(c.freed == 1);  // the third block; the arena's stays
    const MemoryPool::ArenaScope again(arena);
    CHECK(c.pool.allocate(1000) == inside);
    c.pool.free(inside, 1000);
  }
  CHECK(c.pool.allocate(1000) == inside);  // the arena has ended
  c.pool.free(inside, 1000);
  c.pool.free(outside, 1000);
  CHECK(c.pool.current_bytes() == 0);
  c.pool.release_cached();
  CHECK(c.freed == c.allocated);
}

TEST_CASE("pool: a block that outlives its arena goes back to the pool" * cpu_only()) {
  Counted c;
  void* block = nullptr;
  {
    MemoryPool::Arena arena(c.pool);
    const MemoryPool::ArenaScope scope(arena);
    block = c.pool.allocate(500);
  }
  c.pool.free(block, 500);
  CHECK(c.pool.allocate(500) == block);
  c.pool.free(block, 500);
}

TEST_CASE("pool: the device hears of every block that comes and goes" * cpu_only()) {
  Listening l;
  l.pool.free(l.pool.allocate(100), 100);
  l.pool.free(l.pool.allocate(128), 128);  // the same block
  CHECK(l.heard ==
        std::vector<std::string>{"out 100 of 128", "back 128", "out 128 of 128", "back 128"});
}

TEST_CASE("pool: a block of an arena is whole and in use as long as the arena lives" * cpu_only()) {
  Listening l;
  {
    MemoryPool::Arena arena(l.pool);
    const MemoryPool::ArenaScope scope(arena);
    l.pool.free(l.pool.allocate(100), 100);
    CHECK(l.heard == std::vector<std::string>{"out 128 of 128"});
  }
  CHECK(l.heard == std::vector<std::string>{"out 128 of 128", "back 128"});
}

TEST_CASE("pool: with VERSOR_POISON=1 new memory of the CPU is NaN, also where it was used" *
          cpu_only()) {
  const EnvironmentVariable poison("VERSOR_POISON", "1");
  CpuBackend backend;
  MemoryPool& pool = backend.pool();
  for (int use = 0; use < 2; ++use) {
    float* block = static_cast<float*>(pool.allocate(3 * sizeof(float)));
    for (int i = 0; i < 3; ++i) {
      CHECK(std::isnan(block[i]));
      CHECK(std::isnan(static_cast<float>(reinterpret_cast<bf16*>(block)[i])));
    }
    std::fill(block, block + 3, 1.f);
    pool.free(block, 3 * sizeof(float));
  }
  CHECK(pool.raw_allocations() == 1);
}

// Only a build with SANITIZE=address can tell the difference.
TEST_CASE("pool: AddressSanitizer knows what may not be touched" * cpu_only() *
          doctest::skip(!kAddressSanitizer)) {
  CpuBackend backend;
  MemoryPool& pool = backend.pool();
  for (size_t bytes : {2ul, 62ul, 64ul, 1030ul}) {
    CAPTURE(bytes);
    char* block = static_cast<char*>(pool.allocate(bytes));
    const size_t size = pool.current_bytes();
    CHECK(first_poisoned(block, size) == bytes);
    pool.free(block, bytes);
    CHECK(first_poisoned(block, size) == 0);
    CHECK(pool.allocate(bytes) == block);
    CHECK(first_poisoned(block, size) == bytes);
    pool.free(block, bytes);
  }
}

TEST_CASE("pool: what is freed while a branch is open is reused only after it" * cpu_only()) {
  Counted c;
  MemoryPool::Arena arena(c.pool);
  void* plain = c.pool.allocate(100);
  void* pinned = nullptr;
  {
    const MemoryPool::ArenaScope scope(arena);
    pinned = c.pool.allocate(100);
    c.pool.hold_freed();
    c.pool.free(pinned, 100);
    c.pool.free(plain, 100);
    CHECK(c.pool.current_bytes() == 0);
    void* other = c.pool.allocate(100);
    CHECK(other != pinned);
    CHECK(other != plain);
    c.pool.release_held();
    CHECK(c.pool.allocate(100) == pinned);  // each is back where it belongs
    c.pool.free(pinned, 100);
    c.pool.free(other, 100);
  }
  CHECK(c.pool.allocate(100) == plain);
  c.pool.free(plain, 100);
}

TEST_CASE("pool: tensors are aligned to 64 bytes and give their memory back") {
  MemoryPool& pool = backend_for(test_device()).pool();
  const size_t before = pool.current_bytes();
  {
    const Tensor a = empty({3}), b = empty({100, 7}), c = empty({5}, DType::u8);
    for (const Tensor* t : {&a, &b, &c}) CHECK(reinterpret_cast<uintptr_t>(t->address()) % 64 == 0);
    CHECK(pool.current_bytes() >= before + a.bytes() + b.bytes() + c.bytes());
  }
  CHECK(pool.current_bytes() == before);
}

// A training step in small: what it allocates the first time is all it ever uses.
TEST_CASE("pool: a repeated step asks the device for nothing") {
  MemoryPool& pool = backend_for(test_device()).pool();
  const Variable x(to_tensor(ref::filled({2, 8, 8, 3}, 0.5)));
  Variable weight(to_tensor(ref::filled({4, 3, 3, 3}, 0.1)), true);
  const auto step = [&] {
    weight.zero_grad();
    backward(mean(square(relu(conv2d(x, weight, {}, {1, 1})))));
  };
  step();
  step();  // here the first step's gradient is still allocated
  const size_t raw = pool.raw_allocations(), current = pool.current_bytes();
  for (int i = 0; i < 5; ++i) step();
  CHECK(pool.raw_allocations() == raw);
  CHECK(pool.current_bytes() == current);
}

}  // namespace
}  // namespace versor::testing
