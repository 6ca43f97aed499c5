// The CPU's replacement for everything that CudaBackend needs a CUDA library for: memory, copies,
// capture, matrix products and convolutions. With it and the kernel files (cuda_on_cpu.h) a program
// without any CUDA has devices "cuda:0" to "cuda:3", whose memory is ordinary memory. They are
// stricter than a GPU where that exposes mistakes: new memory is NaN, and captured work holds
// addresses, not tensors.
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "tensor/cpu/poison.h"
#include "tensor/cuda/backend.h"
#include "tensor/cuda/conv_few_channels.h"
#include "tensor/cuda/split.h"
#include "tests/cuda_on_cpu.h"

namespace cuda_on_cpu {

thread_local int visible = 0;

void set_visible_device(int first) {
  visible = first;
}
int visible_device() {
  return visible;
}

}  // namespace cuda_on_cpu

namespace versor {
namespace cuda {

class Context {
 public:
  MemoryPool pool{[](size_t bytes) {
                    void* block = std::aligned_alloc(kAlignment, rounded(bytes));
                    if (block != nullptr) std::memset(block, 0xff, rounded(bytes));
                    return block;
                  },
                  [](void* block) { std::free(block); }, cpu::poison_hooks()};
  BackendOptions options;

 private:
  static constexpr size_t kAlignment = 256;  // as cudaMalloc
  static size_t rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
};

}  // namespace cuda

namespace {

constexpr int kMultiprocessors = 4;  // few, so that a block often has to do several pieces of work

void refuse_while_capturing(const char* operation, const char* action) {
  check(!cuda_on_cpu::is_capturing(), operation, "cannot ", action,
        " while a CUDA graph is being captured");
}

class CapturedList final : public CapturedWork {
 public:
  explicit CapturedList(std::vector<cuda_on_cpu::Work> list) : list_(std::move(list)) {}
  void replay() override {
    for (const cuda_on_cpu::Work& work : list_) work();
  }

 private:
  std::vector<cuda_on_cpu::Work> list_;
};

// --- the CPU backend on our memory ---------------------------------------------------------------

// A tensor as captured work knows it: by its address.
struct View {
  void* address = nullptr;  // null: undefined
  Shape shape;
  DType dtype = DType::f32;

  View(const Tensor& t) {
    if (!t.defined()) return;
    address = t.address();
    shape = t.shape();
    dtype = t.dtype();
  }
  // Its current content, as a tensor of the CPU.
  Tensor read() const {
    if (address == nullptr) return {};
    Tensor t(shape, dtype);
    t.copy_from_host(address);
    return t;
  }
  void write(const Tensor& t) const { t.copy_to_host(address); }
};

Backend& the_cpu() {
  return backend_for({});
}

// Enqueues y = f(tensor of y's shape): f gets a tensor of the CPU to write to.
template <class F>
void enqueue(const Tensor& y, const F& f) {
  cuda_on_cpu::enqueue([out = View(y), f] {
    Tensor result(out.shape, out.dtype);
    f(result);
    out.write(result);
  });
}

// Rounds to the nearest number with 10 bits of mantissa, ties to even: how tensor cores read an f32
// input in TF32.
Tensor rounded_to_tf32(Tensor t) {
  constexpr uint32_t kDropped = 0x1fff, kHalf = 0x0fff, kExponent = 0x7f800000;
  float* values = t.data<float>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    if ((bits & kExponent) == kExponent) continue;  // infinite or NaN
    const uint32_t is_odd = bits >> 13 & 1u;
    values[i] = std::bit_cast<float>((bits + kHalf + is_odd) & ~kDropped);
  }
  return t;
}

// What a convolution multiplies: the TF32 parts of f32 operands, where that is asked for.
cuda::SplitOperands factors(CudaBackend& backend, cuda::ConvKind kind,
                            const cuda::SplitOperands& of) {
  const bool split = backend.splits_f32() && of.x.dtype() == DType::f32;
  return split ? cuda::split_operands(backend, kind, of) : of;
}

}  // namespace

// --- device --------------------------------------------------------------------------------------

CudaBackend::CudaBackend(int)
    : context_(std::make_unique<cuda::Context>()), multiprocessors_(kMultiprocessors) {}

CudaBackend::~CudaBackend() = default;

cuda::Stream CudaBackend::stream() const {
  return nullptr;
}

bool CudaBackend::uses_tf32() const {
  return context_->options.tf32;
}

bool CudaBackend::splits_f32() const {
  return context_->options.split_f32 && !context_->options.tf32;
}

DeviceInfo CudaBackend::info() {
  return {"CUDA kernels on the CPU", true, true, true};
}

void CudaBackend::configure(const BackendOptions& options) {
  context_->options = options;
}

MemoryPool& CudaBackend::pool() {
  return context_->pool;
}

void CudaBackend::copy_from_host(void* target, const void* source, size_t bytes) {
  refuse_while_capturing("copy", "copy from the host");
  if (bytes > 0) std::memcpy(target, source, bytes);
}

void CudaBackend::copy_to_host(void* target, const void* source, size_t bytes) {
  refuse_while_capturing("copy", "copy to the host");
  if (bytes > 0) std::memcpy(target, source, bytes);
}

void CudaBackend::synchronize() {
  refuse_while_capturing("synchronize", "wait for the GPU");
}

std::unique_ptr<CapturedWork> CudaBackend::capture(const std::function<void()>& work) {
  refuse_while_capturing("capture", "begin another capture");
  cuda_on_cpu::begin_capture();
  try {
    work();
  } catch (...) {
    cuda_on_cpu::end_capture();
    throw;
  }
  return std::make_unique<CapturedList>(cuda_on_cpu::end_capture());
}

bool CudaBackend::has_branches() {
  return context_->options.branches;
}

void CudaBackend::fork() {
  if (has_branches()) cuda_on_cpu::begin_branch();
}

void CudaBackend::leave_branch() {
  cuda_on_cpu::end_branch();
}

void CudaBackend::join() {
  cuda_on_cpu::join_branch();
}

void CudaBackend::begin_range(const char*) {}
void CudaBackend::end_range() {}

// --- products ------------------------------------------------------------------------------------

void CudaBackend::matmul(Tensor& y, const Tensor& a, const Tensor& b, bool transpose_a,
                         bool transpose_b, const Tensor& bias) {
  enqueue(y, [a = View(a), b = View(b), bias = View(bias), transpose_a, transpose_b,
              tf32 = uses_tf32() && y.dtype() == DType::f32](Tensor& result) {
    const auto input = [tf32](const View& view) {
      return tf32 ? rounded_to_tf32(view.read()) : view.read();
    };
    the_cpu().matmul(result, input(a), input(b), transpose_a, transpose_b, bias.read());
  });
}

void CudaBackend::conv2d(Tensor& y, const Tensor& x, const Tensor& weight, const Epilogue& epilogue,
                         const Conv2dParams& params) {
  if (epilogue.residual.defined()) {
    conv2d(y, x, weight, {epilogue.bias, false}, params);
    return binary(y, y, epilogue.residual, epilogue.relu ? BinaryOp::add_relu : BinaryOp::add);
  }
  if (cuda::few_channels::takes(x, weight, y))
    return cuda::few_channels::conv2d(*this, y, x, weight, epilogue, params);
  const auto of = factors(*this, cuda::ConvKind::forward, {x, weight, y});
  enqueue(y, [x = View(of.x), weight = View(of.weight), params](Tensor& result) {
    the_cpu().conv2d(result, x.read(), weight.read(), {}, params);
  });
  apply_epilogue(y, epilogue);
}

void CudaBackend::conv2d_grad_input(Tensor& dx, const Tensor& dy, const Tensor& weight,
                                    const Epilogue& epilogue, const Conv2dParams& params) {
  if (cuda::few_channels::takes(dx, weight, dy))
    return cuda::few_channels::conv2d_grad_input(*this, dx, dy, weight, epilogue, params);
  const auto of = factors(*this, cuda::ConvKind::grad_input, {dx, weight, dy});
  enqueue(dx, [dy = View(of.y), weight = View(of.weight), params](Tensor& result) {
    the_cpu().conv2d_grad_input(result, dy.read(), weight.read(), {}, params);
  });
  apply_epilogue(dx, epilogue);
}

void CudaBackend::conv2d_grad_weight(Tensor& dweight, const Tensor& x, const Tensor& dy,
                                     const Conv2dParams& params) {
  if (cuda::few_channels::takes(x, dweight, dy))
    return cuda::few_channels::conv2d_grad_weight(*this, dweight, x, dy, params);
  const auto of = factors(*this, cuda::ConvKind::grad_weight, {x, dweight, dy});
  enqueue(dweight, [x = View(of.x), dy = View(of.y), params](Tensor& result) {
    the_cpu().conv2d_grad_weight(result, x.read(), dy.read(), params);
  });
}

// They live until the process ends, as the real ones do.
Backend& cuda_backend(int index) {
  const int devices = 4 - cuda_on_cpu::visible_device();
  check(0 <= index && index < devices, "device", "no CUDA device: cuda:", index,
        " is not one of the ", devices, " of this machine");
  index += cuda_on_cpu::visible_device();
  static std::mutex mutex;
  static auto& backends = *new std::map<int, CudaBackend>;
  const std::lock_guard lock(mutex);
  return backends.try_emplace(index, index).first->second;
}

}  // namespace versor
