// What the CUDA backend owns besides its kernels: the stream, the handles of cuBLASLt and cuDNN,
// their scratch memory, the memory pool, and the checks that turn a library's status into an Error.
// The three libraries work alike: a call is enqueued on the stream and returns before the GPU has
// done it. The work is done in the order of the calls, which come from one thread at a time; only
// the branches of a captured step have a second stream, and scratch memory of their own.
// Read next: backend.cpp (copies, graphs), cudnn.h (convolutions), matmul.cpp.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <memory>
#include <string>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cuda/handle.h"

// As CUDA_CHECK in handle.h.
#define CUBLAS_CHECK(call) ::versor::cuda::check_status(call, #call, __FILE__, __LINE__)
#define CUDNN_CHECK(call) ::versor::cuda::check_status(call, #call, __FILE__, __LINE__)

namespace versor::cuda {

void check_status(cublasStatus_t status, const char* call, const char* file, int line);
void check_status(cudnnStatus_t status, const char* call, const char* file, int line);

// Declared in launch.h too, which only nvcc can read.
void check_launch(const char* name, cudaStream_t stream);

using DeviceBuffer = Handle<void*, cudaFree>;

struct Properties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 1;
  size_t memory = 0;                                     // bytes
  bool has_bf16_and_tf32() const { return major >= 8; }  // from Ampere on
};

struct ConvPlans;    // conv.cpp
struct MatmulPlans;  // matmul.cpp

class Context {
 public:
  // Most that a convolution may take as scratch memory; plans that want more are not used.
  static constexpr size_t kMostConvWorkspace = size_t{256} << 20;
  static constexpr size_t kMatmulWorkspace = size_t{32} << 20;  // what cuBLAS asks for on Hopper

  // Throws Error "no CUDA device: ..." if there is no such GPU.
  explicit Context(int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // The CUDA runtime has one current device per thread; every entry from outside begins with this.
  void make_current() const { CUDA_CHECK(cudaSetDevice(index_)); }

  const Properties& properties() const { return properties_; }
  // What is called now goes to this stream.
  cudaStream_t stream() const { return line().stream; }
  cublasLtHandle_t blas() const { return blas_; }
  cudnnHandle_t dnn() const;  // works on that stream
  MemoryPool& pool() { return pool_; }

  // Scratch memory of the libraries, outside the pool and not in its counts. A captured graph keeps
  // the address, so nothing here is freed before the context ends: growing adds a larger block,
  // which is used from then on.
  void* matmul_workspace() const { return line().matmul_workspace; }
  void* conv_workspace() const {
    return line().conv_workspaces.empty() ? nullptr : line().conv_workspaces.back().get();
  }
  void reserve_conv_workspace(size_t bytes);  // not while capturing

  // Branches, see tensor/backend.h. They need what add_branch_line() makes, once and not while
  // capturing. Nothing forks unless a step is being captured.
  void add_branch_line();
  void fork();
  void leave_branch() { on_branch_ = false; }
  void join();

  // Whether the stream is being captured, see CudaBackend::capture(). Whatever is impossible during
  // a capture throws "[operation] cannot <action> while a CUDA graph is being captured".
  bool capturing() const { return capturing_; }
  void set_capturing(bool capturing) { capturing_ = capturing; }
  void refuse_while_capturing(const char* operation, const char* action) const;

  BackendOptions options;
  // Shared pointers, because those can destroy a type that is only declared here.
  std::shared_ptr<ConvPlans> conv_plans;
  std::shared_ptr<MatmulPlans> matmul_plans;

 private:
  // A stream and what only the work on it may use.
  struct Line {
    Handle<cudaStream_t, cudaStreamDestroy> stream;
    Handle<cudaEvent_t, cudaEventDestroy> reached;  // how far the other line has to wait
    DeviceBuffer matmul_workspace;
    std::vector<DeviceBuffer> conv_workspaces;
  };

  bool has_branches() const { return capturing_ && options.branches; }
  const Line& line() const { return on_branch_ ? *branch_ : main_; }
  DeviceBuffer allocate(size_t bytes);
  void open(Line& line);
  static void order(Line& first, const Line& then);

  int index_;
  Properties properties_;
  Line main_;
  std::unique_ptr<Line> branch_;  // null until add_branch_line()
  Handle<cublasLtHandle_t, cublasLtDestroy> blas_;
  Handle<cudnnHandle_t, cudnnDestroy> dnn_;
  MemoryPool pool_;
  size_t conv_workspace_bytes_ = 0;  // of the last one of each line
  bool capturing_ = false, on_branch_ = false;
};

}  // namespace versor::cuda
