// Stream, handles and scratch memory of one GPU: see context.h.
#include "tensor/cuda/context.h"

#include <algorithm>

#include "tensor/environment.h"

namespace versor::cuda {
namespace {

[[noreturn]] void fail_call(const char* library, const char* text, const char* call,
                            const char* file, int line) {
  fail(library, call, " failed: ", text, " (", file, ":", line, ")");
}

bool sync_after_each_call() {
  static const bool on = environment_switch("VERSOR_SYNC", false);
  return on;
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
         status != cudaStreamCaptureStatusNone;
}

// The properties of a GPU, or the one line that says why there is none.
Properties properties_of(int index) {
  int driver = 0, count = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) throw Error("no CUDA device: this machine has no NVIDIA driver");
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) throw Error(str("no CUDA device: ", cudaGetErrorString(status)));
  if (index < 0 || index >= count)
    throw Error(str("no CUDA device: cuda:", index, " is not one of the ", count, " here"));
  cudaDeviceProp p;
  CUDA_CHECK(cudaGetDeviceProperties(&p, index));
  return {p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem};
}

}  // namespace

void check_status(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // else the next kernel launch would be blamed for it
  fail_call("cuda", cudaGetErrorString(status), call, file, line);
}

void check_status(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail_call("cublas", cublasLtGetStatusString(status), call, file, line);
}

void check_status(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::string text = cudnnGetErrorString(status);
#if CUDNN_MAJOR >= 9
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof(detail));
  if (detail[0] != '\0') text += std::string(", ") + detail;
#endif
  fail_call("cudnn", text.c_str(), call, file, line);
}

void wait_if_asked(const char* name, cudaStream_t stream) {
  if (!sync_after_each_call() || is_capturing(stream)) return;
  const cudaError_t status = cudaStreamSynchronize(stream);
  check(status == cudaSuccess, name, "failed on the GPU: ", cudaGetErrorString(status));
}

void check_launch(const char* name, cudaStream_t stream) {
  const cudaError_t status = cudaGetLastError();
  check(status == cudaSuccess, name, "could not be launched: ", cudaGetErrorString(status));
  wait_if_asked(name, stream);
}

Context::Context(int index)
    : index_(index),
      properties_(properties_of(index)),
      pool_(
          [this](size_t bytes) -> void* {
            void* block = nullptr;
            if (cudaSetDevice(index_) == cudaSuccess && cudaMalloc(&block, bytes) == cudaSuccess)
              return block;
            cudaGetLastError();
            return nullptr;
          },
          [this](void* block) {
            cudaSetDevice(index_);
            cudaFree(block);
          }) {
  make_current();
  pool_.set_limit(properties_.memory);
  CUBLAS_CHECK(cublasLtCreate(blas_.address()));
  CUDNN_CHECK(cudnnCreate(dnn_.address()));
  open(main_);
}

Context::~Context() {
  cudaSetDevice(index_);
  cudaStreamSynchronize(main_.stream);  // it may still be using what is destroyed next
  conv_plans.reset();                   // plans before the handles that they were made with
  matmul_plans.reset();
}

DeviceBuffer Context::allocate(size_t bytes) {
  DeviceBuffer buffer;
  if (cudaMalloc(buffer.address(), bytes) == cudaSuccess) return buffer;
  cudaGetLastError();
  pool_.release_cached();  // cached blocks may be in the way
  CUDA_CHECK(cudaMalloc(buffer.address(), bytes));
  return buffer;
}

void Context::reserve_conv_workspace(size_t bytes) {
  if (bytes <= conv_workspace_bytes_) return;
  refuse_while_capturing("conv2d", "take scratch memory");
  // At least twice the last one, so that few small blocks are left behind.
  const size_t size = std::max(bytes, std::min(2 * conv_workspace_bytes_, kMostConvWorkspace));
  main_.conv_workspaces.push_back(allocate(size));
  if (branch_) branch_->conv_workspaces.push_back(allocate(size));
  conv_workspace_bytes_ = size;
}

void Context::open(Line& line) {
  // Non-blocking: does not wait for the stream that libraries use when nobody gives them one.
  CUDA_CHECK(cudaStreamCreateWithFlags(line.stream.address(), cudaStreamNonBlocking));
  CUDA_CHECK(cudaEventCreateWithFlags(line.reached.address(), cudaEventDisableTiming));
  line.matmul_workspace = allocate(kMatmulWorkspace);
  if (conv_workspace_bytes_ > 0) line.conv_workspaces.push_back(allocate(conv_workspace_bytes_));
}

void Context::add_branch_line() {
  if (branch_) return;
  make_current();
  refuse_while_capturing("branches", "make a stream for them");
  auto line = std::make_unique<Line>();
  open(*line);
  branch_ = std::move(line);
}

cudnnHandle_t Context::dnn() const {
  CUDNN_CHECK(cudnnSetStream(dnn_, stream()));
  return dnn_;
}

// What is enqueued on `then` from now on runs after what is on `first` now.
void Context::order(Line& first, const Line& then) {
  CUDA_CHECK(cudaEventRecord(first.reached, first.stream));
  CUDA_CHECK(cudaStreamWaitEvent(then.stream, first.reached, 0));
}

void Context::fork() {
  if (!has_branches()) return;
  order(main_, *branch_);
  on_branch_ = true;
}

void Context::join() {
  if (has_branches()) order(*branch_, main_);
}

void Context::refuse_while_capturing(const char* operation, const char* action) const {
  check(!capturing_, operation, "cannot ", action, " while a CUDA graph is being captured");
}

}  // namespace versor::cuda
