// The CUDA backend apart from its computations: what the device is, copies, waiting, and capturing
// work as a CUDA graph. Mirrors tensor/cpu/backend.cpp; the handles are in context.h.
#include "tensor/cuda/backend.h"

#include <map>
#include <mutex>

#include "tensor/cuda/context.h"
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define VERSOR_NVTX
#endif

namespace versor {
namespace {

using cuda::Context;

// A graph of kernels that CudaBackend::capture() made: one call enqueues them all.
class CudaGraph final : public CapturedWork {
 public:
  CudaGraph(const Context& context, cudaGraph_t graph) : context_(context) {
    CUDA_CHECK(cudaGraphInstantiate(executable_.address(), graph, 0));
    CUDA_CHECK(cudaGraphUpload(executable_, context_.stream()));  // else the first launch pays
  }

  void replay() override {
    context_.make_current();
    CUDA_CHECK(cudaGraphLaunch(executable_, context_.stream()));
    cuda::wait_if_asked("captured work", context_.stream());
  }

 private:
  const Context& context_;
  cuda::Handle<cudaGraphExec_t, cudaGraphExecDestroy> executable_;
};

using Graph = cuda::Handle<cudaGraph_t, cudaGraphDestroy>;

// While one lives, calls on the stream are captured instead of run. If the work throws, the
// destructor ends the capture and discards it.
class Capture {
 public:
  explicit Capture(Context& context) : context_(context) {
    // Relaxed: a kernel's first use may load it, which the stricter modes forbid.
    CUDA_CHECK(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeRelaxed));
    context_.set_capturing(true);
  }
  ~Capture() {
    if (!context_.capturing()) return;
    context_.set_capturing(false);
    Graph dropped;
    cudaStreamEndCapture(context_.stream(), dropped.address());
    cudaGetLastError();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  Graph end() {
    context_.set_capturing(false);
    Graph graph;
    CUDA_CHECK(cudaStreamEndCapture(context_.stream(), graph.address()));
    return graph;
  }

 private:
  Context& context_;
};

}  // namespace

CudaBackend::CudaBackend(int index)
    : context_(std::make_unique<Context>(index)),
      multiprocessors_(context_->properties().multiprocessors) {}

CudaBackend::~CudaBackend() = default;

cuda::Stream CudaBackend::stream() const {
  context_->make_current();
  return context_->stream();
}

bool CudaBackend::uses_tf32() const {
  return context_->options.tf32 && context_->properties().has_bf16_and_tf32();
}

bool CudaBackend::splits_f32() const {
  const BackendOptions& o = context_->options;
  return o.split_f32 && !o.tf32 && context_->properties().has_bf16_and_tf32();
}

DeviceInfo CudaBackend::info() {
  const cuda::Properties& p = context_->properties();
  return {.name = str(p.name, " (compute capability ", p.major, ".", p.minor, ")"),
          .fast_bf16 = p.has_bf16_and_tf32(),
          .has_tf32 = p.has_bf16_and_tf32(),
          .can_capture = true};
}

void CudaBackend::configure(const BackendOptions& options) {
  if (options.branches) context_->add_branch_line();
  context_->options = options;
}

MemoryPool& CudaBackend::pool() {
  return context_->pool();
}

void CudaBackend::copy_from_host(void* target, const void* source, size_t bytes) {
  context_->refuse_while_capturing("copy", "copy from the host");
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream()));
  CUDA_CHECK(cudaStreamSynchronize(stream()));  // the caller may change `source` now
}

void CudaBackend::copy_to_host(void* target, const void* source, size_t bytes) {
  context_->refuse_while_capturing("copy", "copy to the host");
  if (bytes == 0) return;
  CUDA_CHECK(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream()));
  CUDA_CHECK(cudaStreamSynchronize(stream()));
}

void CudaBackend::synchronize() {
  context_->refuse_while_capturing("synchronize", "wait for the GPU");
  CUDA_CHECK(cudaStreamSynchronize(stream()));
}

std::unique_ptr<CapturedWork> CudaBackend::capture(const std::function<void()>& work) {
  context_->refuse_while_capturing("capture", "begin another capture");
  context_->make_current();
  Capture capture(*context_);
  work();
  const Graph graph = capture.end();
  return std::make_unique<CudaGraph>(*context_, graph);
}

bool CudaBackend::has_branches() {
  return context_->options.branches;
}

void CudaBackend::fork() {
  context_->fork();
}

void CudaBackend::leave_branch() {
  context_->leave_branch();
}

void CudaBackend::join() {
  context_->join();
}

void CudaBackend::begin_range([[maybe_unused]] const char* name) {
#ifdef VERSOR_NVTX
  nvtxRangePushA(name);
#endif
}

void CudaBackend::end_range() {
#ifdef VERSOR_NVTX
  nvtxRangePop();
#endif
}

// Backends stay until the process ends and are never destroyed: cuDNN loads parts of itself on
// first use, those are unloaded before our static objects, and a handle must not outlive them.
Backend& cuda_backend(int index) {
  static std::mutex mutex;
  static auto& backends = *new std::map<int, std::unique_ptr<CudaBackend>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<CudaBackend>& backend = backends[index];
  if (backend == nullptr) backend = std::make_unique<CudaBackend>(index);
  return *backend;
}

}  // namespace versor
