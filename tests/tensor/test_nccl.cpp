// GPUs joined by NCCL: every call of tensor/communicator.h with 1, 2 and 3 ranks, called and
// captured. Ranks are threads of one process, each with a device of its own. In run_kernel_tests
// NCCL is a strict replacement (tests/cuda_on_cpu_nccl.cpp), whose own faults are in
// tests/test_cuda_on_cpu_nccl.cpp; elsewhere these tests take NCCL itself, on the GPUs at hand.
#include "tensor/cuda/nccl.h"
#include "tensor/ops.h"
#include "tensor/replay.h"
#include "tests/support.h"
#include "tests/thread_communicator.h"

namespace versor::testing {
namespace {

// The devices of the kind under test that NCCL can join here, at most 3: as many ranks as a test
// may have.
int devices() {
  static const int count = [] {
    Communicator one;
    if (contains(error_of([&] { cuda::nccl_communicator(test_device(), one); }), "has no NCCL")) {
      MESSAGE("not tested: this build has no NCCL");
      return 0;
    }
    for (int index = 0; index < 3; ++index)
      if (!error_of([&] { backend_for({test_device().type, index}); }).empty()) return index;
    return 3;
  }();
  return count;
}

// A rank's part of a test: NCCL and the device of this rank.
using Part = std::function<void(Communicator& nccl, Device device)>;

void run_on_gpus(int size, const Part& part) {
  run_ranks(size, [&](ThreadCommunicator& host) {
    const Device device{test_device().type, host.rank()};
    const auto nccl = cuda::nccl_communicator(device, host);
    part(*nccl, device);
  });
}

// Calls `part` on 1, 2 and 3 ranks, as far as there are devices.
void run_on_gpus(const Part& part) {
  for (int size = 1; size <= devices(); ++size) run_on_gpus(size, part);
}

void require(bool ok, const char* what) {
  check(ok, "test", what);
}

template <class T>
Tensor on(Device device, const std::vector<T>& values) {
  return Tensor::from(values, {std::ssize(values)}, device);
}

}  // namespace

TEST_CASE("nccl: every call, with 1, 2 and 3 ranks" * doctest::skip(!on_other_device())) {
  run_on_gpus([](Communicator& c, Device device) {
    const int size = c.size(), last = size - 1;
    const float r = static_cast<float>(c.rank()), sum = static_cast<float>(size * last / 2);
    Tensor x = on<float>(device, {r, 1, -r});
    Tensor most = ops::clone(x);
    c.all_reduce(x);
    require(x.to_vector<float>() == std::vector<float>{sum, static_cast<float>(size), -sum}, "sum");
    c.all_reduce(most, Reduction::max);
    require(most.to_vector<float>() == std::vector<float>{static_cast<float>(last), 1, 0}, "max");
    Tensor counts = on<int32_t>(device, {c.rank(), 1 << 24, -5});
    c.all_reduce(counts);
    require(
        counts.to_vector<int32_t>() == std::vector<int32_t>{size * last / 2, size << 24, -5 * size},
        "sum of i32");
    for (const DType dtype : {DType::f32, DType::bf16, DType::i32, DType::u8}) {
      Tensor from({3}, dtype, device);
      ops::fill(from, r + 1);
      c.broadcast(from, last);
      Tensor expected({3}, dtype, device);
      ops::fill(expected, static_cast<float>(last) + 1);
      require(bits_of(from) == bits_of(expected), "broadcast");
    }
    require(c.largest(c.rank()) == last && c.broadcast(str(c.rank()), last) == str(last) &&
                std::ssize(c.all_gather("")) == size,
            "calls of the host");
    require(!c.is_alone() && c.is_capturable(), "what it says of itself");
  });
}

TEST_CASE("nccl: tensors of the CPU go through the communicator of the host" *
          doctest::skip(!on_other_device())) {
  run_on_gpus([](Communicator& c, Device) {
    const int size = c.size();
    Tensor x = on<int32_t>({}, {c.rank(), 1}), started = on<float>({}, {2});
    c.all_reduce(x);
    require(x.to_vector<int32_t>() == std::vector<int32_t>{size * (size - 1) / 2, size}, "sum");
    c.broadcast(x, size - 1);
    c.start_all_reduce(started);
    c.progress();
    c.finish();
    require(started.to_vector<float>() == std::vector<float>{2.f * static_cast<float>(size)},
            "started sum");
    Tensor guard = ops::new_guard();
    c.all_reduce_guard(guard);
    require(guard.to_vector<int32_t>()[1] == kNothingFound, "guard");
    const Tensor rows = c.all_gather_rows(ops::full({c.rank() + 1, 2}, 3.f));
    require(rows.dim(0) == size * (size + 1) / 2 && rows.device() == Device{}, "rows");
  });
}

TEST_CASE("nccl: the first finding of all guards" * doctest::skip(!on_other_device())) {
  run_on_gpus([](Communicator& c, Device device) {
    // Rank 1 found tag 9 in step 4, rank 2 tag 3 in step 5 and tag 7 in step 4.
    const std::vector<std::vector<int32_t>> found = {
        {kNothingFound, kNothingFound}, {9, 4}, {c.size() == 3 ? 7 : 3, 4}};
    Tensor guard = ops::new_guard(device);
    c.all_reduce_guard(guard);
    require(guard.to_vector<int32_t>() == found[0], "no finding");
    guard.copy_from_host(found[static_cast<size_t>(c.rank())].data());
    c.all_reduce_guard(guard);
    require(guard.to_vector<int32_t>() == found[static_cast<size_t>(c.size() - 1)], "first");
    const int32_t late[] = {0, c.rank() == 0 ? 5 : 1 << 30};  // the step counts before the tag
    guard.copy_from_host(late);
    c.all_reduce_guard(guard);
    require(guard.to_vector<int32_t>() == std::vector<int32_t>{0, 5}, "step");
  });
}

TEST_CASE("nccl: rows of equal and of different numbers" * doctest::skip(!on_other_device())) {
  run_on_gpus([](Communicator& c, Device device) {
    const float r = static_cast<float>(c.rank());
    for (const bool equal : {true, false}) {
      std::vector<float> expected;
      for (int other = 0; other < c.size(); ++other)
        expected.insert(expected.end(), 2 * (equal ? 3 : other), static_cast<float>(other));
      const Tensor rows = ops::full({equal ? 3 : c.rank(), 2}, r, device);
      const Tensor all = c.all_gather_rows(rows);
      require(all.dim(1) == 2 && all.to_vector<float>() == expected, "rows");
    }
    const Tensor none = c.all_gather_rows(Tensor({0, 4}, DType::u8, device));
    require(none.shape() == Shape{0, 4} && none.dtype() == DType::u8, "no rows");
  });
}

namespace {

// A step as of a training: gradients of two layers, whose sums are under way while the next are
// made, counts that are summed at once, and an update that needs all. Its numbers are multiples of
// small powers of two, so that sums are exact in any order.
struct Step {
  Step(Device device, int rank)
      : x(on<float>(device, {1.f + static_cast<float>(rank), -2, 4, 0.5f})),
        gradients({6}, DType::f32, device),
        total({1}, DType::f32, device) {}

  void operator()(Communicator& c) {
    Tensor last = gradients.rows(4, 6), first = gradients.rows(0, 4);
    ops::copy(last, x.rows(1, 3));
    c.start_all_reduce(last);
    ops::copy(first, ops::sub(x, ops::scaled(x, 0.5f)));
    c.start_all_reduce(first);
    c.progress();
    Tensor sum = ops::sum(x);
    c.all_reduce(sum);
    ops::copy(total, sum);
    const Tensor copy = ops::scaled(x, 2.f);  // beside the sums; takes memory that was freed
    c.finish();
    c.finish();  // nothing is left to wait for
    ops::copy(x, ops::sub(copy, gradients.rows(1, 5)));
  }
  std::string state() const { return bits_of(x) + bits_of(gradients) + bits_of(total); }

  Tensor x, gradients, total;
};

// The state of a step on the device after four calls.
std::string four_steps(Communicator& c, Device device, bool capture) {
  Backend& backend = backend_for(device);
  Step step(device, c.rank());
  Replay replay(backend, std::make_shared<MemoryPool::Arena>(backend.pool()), capture);
  for (int i = 0; i < 4; ++i) replay.run([&] { step(c); });
  require(replay.captured() == capture, "captured");
  return step.state();
}

}  // namespace

TEST_CASE("nccl: sums beside other work, called and captured, are those of the CPU" *
          doctest::skip(!on_other_device())) {
  for (int size = 1; size <= devices(); ++size)
    run_ranks(size, [&](ThreadCommunicator& host) {
      const Device device{test_device().type, host.rank()};
      Step expected({}, host.rank());
      for (int i = 0; i < 4; ++i) expected(host);
      const auto nccl = cuda::nccl_communicator(device, host);
      require(four_steps(*nccl, device, false) == expected.state(), "called");
      require(four_steps(*nccl, device, true) == expected.state(), "captured");
    });
}

TEST_CASE("nccl: one rank has the bits of a process without it" *
          doctest::skip(!on_other_device())) {
  if (devices() == 0) return;
  const Device device = test_device();
  Communicator one;
  const auto nccl = cuda::nccl_communicator(device, one);
  for (const bool capture : {false, true})
    CHECK(four_steps(*nccl, device, capture) == four_steps(one, device, capture));
}

TEST_CASE("nccl: a process that is alone has NCCL only if it is asked to") {
  CHECK(communicator_on(Device{}, alone()) == nullptr);
  CHECK(communicator_on(test_device(), alone()) == nullptr);
  const EnvironmentVariable asked("VERSOR_NCCL", "1");
  CHECK(communicator_on(Device{}, alone()) == nullptr);
  if (on_other_device() && devices() > 0)
    CHECK(communicator_on(test_device(), alone())->size() == 1);
}

TEST_CASE("nccl: two ranks with one GPU are named" * doctest::skip(!on_other_device())) {
  if (devices() < 3) return;
  const std::string error = error_of([] {
    run_ranks(3, [](ThreadCommunicator& host) {
      const Device device{test_device().type, host.rank() == 2 ? 0 : host.rank()};
      cuda::nccl_communicator(device, host);
    });
  });
  CHECK(error == "[nccl] rank 0 and rank 2 have the same GPU; each needs one of its own");
}

TEST_CASE("nccl: what waits for other processes cannot be captured" *
          doctest::skip(!on_other_device())) {
  if (devices() == 0) return;
  const Device device = test_device();
  Communicator one;
  const auto nccl = cuda::nccl_communicator(device, one);
  const Tensor x = ops::zeros({2, 2}, device);
  const auto captured = [&](const std::function<void()>& work) {
    return error_of([&] { backend_for(device).capture(work); });
  };
  const std::string reason =
      " cannot wait for other processes while a CUDA graph is being captured";
  CHECK(captured([&] { nccl->all_gather_rows(x); }) == "[all_gather]" + reason);
  CHECK(captured([&] { nccl->largest(1); }) == "[largest]" + reason);
  CHECK(captured([&] { nccl->broadcast("", 0); }) == "[broadcast]" + reason);
}

}  // namespace versor::testing
