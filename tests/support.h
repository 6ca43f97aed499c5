// Shared by the tests of tensors: error bounds, guarded outputs, and scopes that set the number of
// threads. Everything is on the device under test (test_device() in arrays.h); tests of the CPU
// alone are marked cpu_only(). Tests are in namespace versor::testing, where `ref` is the double
// reference (reference.h). Read next: cases.h.
#pragma once

#include <doctest/doctest.h>
#include <omp.h>

#include "tensor/backend.h"
#include "tests/arrays.h"
#include "tests/data/temporary_folder.h"  // error_of, contains

namespace versor::testing {

// Bounds on ||value - reference|| / ||reference||: in f32; in bf16, where rounding alone can be
// 2^-8; and for a single operation on bf16 inputs, which rounds only once.
constexpr double kTolerance = 1e-5;
constexpr double kBf16Tolerance = 1e-2;
constexpr double kOneBf16Rounding = 5e-3;

// Marks a test that concerns the CPU only or would repeat the same work on the CPU:
//   TEST_CASE("..." * cpu_only())
// main.cpp leaves these out when another device is under test.
constexpr const char* kCpuSuite = "cpu";
inline doctest::test_suite cpu_only() {
  return {kCpuSuite};
}

// A view into a larger buffer. The view is filled with NaN (all bits set), which reveals elements
// that are not written; canaries before and after it reveal writes outside.
class Fenced {
 public:
  explicit Fenced(const Shape& shape, DType dtype = DType::f32) {
    int64_t extents[Shape::kMaxRank];
    std::copy(shape.begin(), shape.end(), extents);
    const int64_t rows = shape[0];
    extents[0] = 1;
    const Shape row_shape{std::span<const int64_t>(extents, shape.rank())};
    const int64_t guard = 64 / row_shape.numel() + 1;  // rows of a fence: at least 64 elements
    extents[0] = rows + 2 * guard;
    whole_ = empty(Shape(std::span<const int64_t>(extents, shape.rank())), dtype);
    view = whole_.rows(guard, guard + rows);
    fence_ = static_cast<size_t>(guard * row_shape.numel()) * size_of(dtype);
    std::string bytes(whole_.bytes(), kCanary);
    std::fill(bytes.begin() + fence_, bytes.end() - fence_, '\xff');
    whole_.copy_from_host(bytes.data());
  }
  // Filled with a copy of the content, for inputs and in-place operations.
  explicit Fenced(const Tensor& content) : Fenced(content.shape(), content.dtype()) {
    view.copy_from_host(bits_of(content).data());
  }
  explicit Fenced(const ref::Array& content) : Fenced(to_tensor(content)) {}

  bool intact() const {
    const std::string bytes = bits_of(whole_);
    const auto is_canary = [](char c) { return c == kCanary; };
    return std::all_of(bytes.begin(), bytes.begin() + fence_, is_canary) &&
           std::all_of(bytes.end() - fence_, bytes.end(), is_canary);
  }

  Tensor view;

 private:
  static constexpr char kCanary = 0x5a;
  Tensor whole_;
  size_t fence_ = 0;  // bytes on either side
};

// The checks that every test of a primitive makes on its output.
inline void check_output(const Fenced& y, const ref::Array& expected,
                         double tolerance = kTolerance) {
  CHECK(y.intact());
  CHECK(error(y.view, expected) <= tolerance);
}

// Sets the number of OpenMP threads during its lifetime.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~ThreadCount() { omp_set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

// Whether make() gives the same bits with 1, 2 and 3 threads, and twice with 3. On devices other
// than the CPU, where the number of threads does not matter, two runs are compared.
template <class Make>
bool same_bits_always(const Make& make) {
  std::string expected;
  for (int threads : on_other_device() ? std::vector{1, 1} : std::vector{1, 2, 3, 3}) {
    const ThreadCount scope(threads);
    const std::string bits = make();
    if (expected.empty()) expected = bits;
    if (bits != expected) return false;
  }
  return !expected.empty();
}

// Configures the device during its lifetime, then makes it strict again.
class Configured {
 public:
  explicit Configured(const BackendOptions& options) { backend().configure(options); }
  ~Configured() { backend().configure({}); }

 private:
  static Backend& backend() { return backend_for(test_device()); }
};

}  // namespace versor::testing
