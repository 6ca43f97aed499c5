// Runs kernels on the CPU: see cuda_on_cpu.h. The threads of a block are fibers: stacks of their
// own between which one OS thread jumps. ucontext makes a stack; _setjmp and _longjmp jump, because
// swapcontext() would cost a system call each time.
// A fiber runs thread after thread of a block as long as none has to wait, so a kernel without
// barriers needs one fiber. Where a thread waits, its fiber stays with it and the next thread
// starts. A pass over the block gives each runnable thread its turn, and a warp as many turns as it
// can take: it runs ahead of the others as far as a barrier of the block lets it, as it may on a
// GPU, so that a missing barrier shows.
#include "tests/cuda_on_cpu.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "tensor/environment.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// longjmp under a name that _FORTIFY_SOURCE does not know: it mistakes our jumps for attacks.
extern "C" [[noreturn]] void jump_to(jmp_buf, int) __asm__("_longjmp");

namespace cuda_on_cpu {
namespace {

constexpr unsigned kLanes = 32, kMostThreads = 1024;
constexpr size_t kPage = 4096, kStack = 64 * kPage;

// A place to run: a stack and where it stopped. The caller of launch() has one without a stack.
struct Fiber {
  jmp_buf stopped_at;
  const void* stack = nullptr;  // lowest address
  size_t size = 0;
  void* sanitizer_frames = nullptr;  // AddressSanitizer's record of a stack
};

enum class State { unstarted, ready, at_block_barrier, at_warp_meeting, ended };

struct Thread {
  State state;
  Fiber* fiber;  // while started and not ended
  const char* intrinsic;
  unsigned mask;
};

struct Warp {
  unsigned waiting;          // lanes at a meeting
  uint64_t brought[kLanes];  // by the lanes that wait
  uint64_t agreed[kLanes];   // of the meetings that took place
};

// Thrown inside waiting threads when another has failed, so that their stacks unwind.
struct Cancelled {};

Order order_at_start() {
  return static_cast<Order>(
      versor::environment_choice("VERSOR_KERNEL_ORDER", {"forward", "reverse"}));
}

class Machine {
 public:
  void run(const char* name, dim3 blocks, dim3 threads, const std::function<void()>& body);
  void wait_for_block();
  Meeting meet(const char* intrinsic, unsigned mask, uint64_t value);
  [[noreturn]] void fail(const std::string& what) const;
  void arrive();
  void work_on_fiber();

  Order order = order_at_start();

 private:
  void run_block();
  void check_progress() const;
  void cancel();
  void complete_meeting(Warp& warp, unsigned first_thread, unsigned lanes);
  void suspend(State state);
  unsigned thread_at(unsigned position) const;
  unsigned start_of_warp(unsigned first_thread) const;
  void enter(unsigned thread);
  Fiber& next();
  Fiber& idle_fiber();
  void jump(Fiber& from, Fiber& to);

  const char* name_ = "";
  const std::function<void()>* body_ = nullptr;
  unsigned count_ = 0;    // threads of a block
  unsigned cursor_ = 0;   // position of the thread whose turn is next in this pass
  unsigned current_ = 0;  // the thread that runs
  unsigned ended_ = 0, at_barrier_ = 0;
  bool cancelled_ = false;
  std::exception_ptr error_;
  Thread threads_[kMostThreads];
  Warp warps_[kMostThreads / kLanes];

  Fiber caller_;
  Fiber *running_ = &caller_, *came_from_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

Machine& machine() {
  static Machine machine;
  return machine;
}

// --- jumping -------------------------------------------------------------------------------------

// AddressSanitizer wants to know which stack is in use.
void Machine::arrive() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(running_->sanitizer_frames, &came_from_->stack,
                                  &came_from_->size);
#endif
}

__attribute__((noinline)) void Machine::jump(Fiber& from, Fiber& to) {
  if (&from == &to) return;
  came_from_ = &from;
  running_ = &to;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from.sanitizer_frames, to.stack, to.size);
#endif
  if (_setjmp(from.stopped_at) == 0) jump_to(to.stopped_at, 1);
  arrive();
}

ucontext_t start_context;
Fiber* fiber_to_start;

// The first thing that runs on a new stack: saves the place and returns to where the stack was
// made.
void first_steps() {
  Fiber& fiber = *fiber_to_start;
  if (_setjmp(fiber.stopped_at) == 0) setcontext(&start_context);
  machine().arrive();
  machine().work_on_fiber();
}

// A stack beside a page that nobody may touch, so that an overflow faults instead of giving a wrong
// result.
std::unique_ptr<Fiber> make_fiber() {
  void* memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);
  auto fiber = std::make_unique<Fiber>();
  fiber->stack = static_cast<char*>(memory) + kPage;
  fiber->size = kStack;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = static_cast<char*>(memory) + kPage;
  context.uc_stack.ss_size = fiber->size;
  context.uc_link = nullptr;
  makecontext(&context, first_steps, 0);
  fiber_to_start = fiber.get();
  swapcontext(&start_context, &context);
  return fiber;
}

Fiber& Machine::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(make_fiber());
    idle_.push_back(fibers_.back().get());
  }
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

// --- turns ---------------------------------------------------------------------------------------

unsigned Machine::thread_at(unsigned position) const {
  return order == Order::forward ? position : count_ - 1 - position;
}

// The position of the warp's thread whose turn is first.
unsigned Machine::start_of_warp(unsigned first_thread) const {
  return order == Order::forward ? first_thread : count_ - std::min(count_, first_thread + kLanes);
}

void Machine::enter(unsigned thread) {
  current_ = thread;
  const unsigned plane = blockDim.x * blockDim.y;
  threadIdx = {thread % blockDim.x, thread % plane / blockDim.x, thread / plane};
}

// Whose turn it is: a waiting thread that can go on, a fiber that will start threads or, at the end
// of the pass, the caller of launch().
Fiber& Machine::next() {
  while (cursor_ < count_) {
    const unsigned thread = thread_at(cursor_);
    if (threads_[thread].state == State::unstarted) return idle_fiber();
    ++cursor_;
    if (threads_[thread].state != State::ready) continue;
    enter(thread);
    return *threads_[thread].fiber;
  }
  return caller_;
}

// A fiber's endless loop: start threads whose turn it is, as long as there are any; then rest.
void Machine::work_on_fiber() {
  for (;;) {
    Fiber& self = *running_;
    while (cursor_ < count_ && threads_[thread_at(cursor_)].state == State::unstarted) {
      const unsigned thread = thread_at(cursor_++);
      enter(thread);
      threads_[thread].fiber = &self;
      try {
        if (!cancelled_) (*body_)();
      } catch (const Cancelled&) {
      } catch (...) {
        cancel();
      }
      threads_[thread].state = State::ended;
      ++ended_;
    }
    idle_.push_back(&self);
    jump(self, next());
  }
}

// Inside a catch: keeps the error for the caller of launch() and wakes all waiting threads, which
// then find that they are cancelled.
void Machine::cancel() {
  error_ = std::current_exception();
  cancelled_ = true;
  for (unsigned t = 0; t < count_; ++t)
    if (threads_[t].state != State::unstarted && threads_[t].state != State::ended)
      threads_[t].state = State::ready;
}

// The running thread waits in `state` until it is made ready.
void Machine::suspend(State state) {
  const unsigned thread = current_;
  threads_[thread].state = state;
  Fiber& self = *running_;
  jump(self, next());
  if (cancelled_) throw Cancelled{};
}

void Machine::wait_for_block() {
  if (++at_barrier_ < count_) return suspend(State::at_block_barrier);
  at_barrier_ = 0;
  for (unsigned t = 0; t < count_; ++t) threads_[t].state = State::ready;
}

// All lanes of the mask are here: each may go on, before the next warp does, and gets the values
// that the others brought.
void Machine::complete_meeting(Warp& warp, unsigned first_thread, unsigned lanes) {
  const Thread& last = threads_[current_];
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1u) == 0) continue;
    Thread& thread = threads_[first_thread + lane];
    if (thread.intrinsic != last.intrinsic && std::strcmp(thread.intrinsic, last.intrinsic) != 0)
      fail(std::string("lanes of a warp meet at ") + thread.intrinsic + " and " + last.intrinsic);
    if (thread.mask != last.mask)
      fail(std::string("lanes of a warp come to ") + last.intrinsic + " with different masks");
    warp.agreed[lane] = warp.brought[lane];
    thread.state = State::ready;
  }
  warp.waiting &= ~lanes;
  cursor_ = std::min(cursor_, start_of_warp(first_thread));
}

Meeting Machine::meet(const char* intrinsic, unsigned mask, uint64_t value) {
  const unsigned lane = current_ % kLanes, first = current_ - lane;
  Warp& warp = warps_[current_ / kLanes];
  if ((mask >> lane & 1u) == 0) fail(std::string(intrinsic) + ": the mask lacks the caller");
  const unsigned present = count_ - first;  // the last warp of a block may be short
  const unsigned lanes = present < kLanes ? mask & ((1u << present) - 1) : mask;
  warp.brought[lane] = value;
  warp.waiting |= 1u << lane;
  threads_[current_].intrinsic = intrinsic;
  threads_[current_].mask = mask;
  if ((warp.waiting & lanes) == lanes) {
    complete_meeting(warp, first, lanes);
  } else {
    suspend(State::at_warp_meeting);
  }
  return {warp.agreed, lanes, lane};
}

// --- blocks and launches -------------------------------------------------------------------------

void Machine::fail(const std::string& what) const {
  throw std::runtime_error(std::string("kernel ") + name_ + ": " + what);
}

// After a pass at least one thread must be able to go on.
void Machine::check_progress() const {
  unsigned at_meeting = 0;
  for (unsigned t = 0; t < count_; ++t) {
    if (threads_[t].state == State::ready) return;
    at_meeting += threads_[t].state == State::at_warp_meeting;
  }
  fail("divergent barrier: of " + std::to_string(count_) + " threads " +
       std::to_string(at_barrier_) + " wait at __syncthreads, " + std::to_string(at_meeting) +
       " at a warp intrinsic, " + std::to_string(ended_) + " have ended");
}

void Machine::run_block() {
  ended_ = at_barrier_ = 0;
  for (unsigned t = 0; t < count_; ++t) threads_[t].state = State::unstarted;
  for (unsigned w = 0; w * kLanes < count_; ++w) warps_[w].waiting = 0;
  while (ended_ < count_) {
    cursor_ = 0;
    jump(caller_, next());  // comes back at the end of the pass
    if (cancelled_ || ended_ == count_) continue;
    try {
      check_progress();
    } catch (...) {
      cancel();
    }
  }
}

void Machine::run(const char* name, dim3 blocks, dim3 threads, const std::function<void()>& body) {
  name_ = name;
  body_ = &body;
  gridDim = blocks;
  blockDim = threads;
  count_ = threads.x * threads.y * threads.z;
  if (count_ == 0 || count_ > kMostThreads) fail("a block of " + std::to_string(count_));
  cancelled_ = false;
  error_ = nullptr;
  const uint64_t plane = uint64_t{blocks.x} * blocks.y, total = plane * blocks.z;
  for (uint64_t b = 0; b < total && !cancelled_; ++b) {
    const uint64_t block = order == Order::forward ? b : total - 1 - b;
    blockIdx = {static_cast<unsigned>(block % blocks.x),
                static_cast<unsigned>(block % plane / blocks.x),
                static_cast<unsigned>(block / plane)};
    run_block();
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

std::mutex one_launch_at_a_time;

}  // namespace

Order set_order(Order order) {
  return std::exchange(machine().order, order);
}

Order order() {
  return machine().order;
}

void launch(const char* name, dim3 blocks, dim3 threads, std::function<void()> body) {
  enqueue([name = std::string(name), blocks, threads, body = std::move(body)] {
    std::lock_guard lock(one_launch_at_a_time);
    machine().run(name.c_str(), blocks, threads, body);
  });
}

Meeting meet(const char* intrinsic, unsigned mask, uint64_t value) {
  return machine().meet(intrinsic, mask, value);
}

void fail_absent_lane(const char* intrinsic, int lane) {
  machine().fail(std::string(intrinsic) + " reads lane " + std::to_string(lane) +
                 ", which is not there");
}

void check_aligned(const char* intrinsic, const void* address, size_t size) {
  if (reinterpret_cast<uintptr_t>(address) % size != 0)
    machine().fail(std::string(intrinsic) + " of a misaligned address");
}

}  // namespace cuda_on_cpu

void __syncthreads() {
  cuda_on_cpu::machine().wait_for_block();
}
