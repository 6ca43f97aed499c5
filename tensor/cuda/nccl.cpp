// Joins GPUs by NCCL: see nccl.h.
//
// All calls of NCCL go to one stream of their own, so that they are in the order of the program on
// every rank, as NCCL demands, whichever stream of the context they are called from. A call waits
// for what the caller's stream has enqueued so far. The caller's stream then waits for the call or,
// after start_all_reduce(), only in finish(). In a step that is being captured, the same two waits
// make the communication a branch of its graph.
#include "tensor/cuda/nccl.h"

#include <nccl.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "tensor/cuda/backend.h"
#include "tensor/cuda/handle.h"
#include "tensor/environment.h"

#define NCCL_CHECK(call) ::versor::cuda::check_nccl(call, #call)

namespace versor::cuda {
namespace {

// The status and what NCCL has noted about it, in one line.
std::string text_of(ncclResult_t status) {
  std::string text = ncclGetErrorString(status);
  if (const char* detail = ncclGetLastError(nullptr); detail != nullptr && *detail != '\0')
    text += str(": ", detail);
  while (text.ends_with('\n')) text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

void check_nccl(ncclResult_t status, const char* call) {
  if (status != ncclSuccess) fail("nccl", call, " failed: ", text_of(status));
}

bool is_on_host(const Tensor& x) {
  return x.device().type == DeviceType::cpu;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Device device, Communicator& host, std::chrono::milliseconds patience);
  ~NcclCommunicator() override;

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  bool is_alone() const override { return false; }  // NCCL is called for one rank too
  std::string name_of(int rank) const override { return host_.name_of(rank); }
  int local_rank() const override { return host_.local_rank(); }
  int local_size() const override { return host_.local_size(); }
  [[noreturn]] void abort(int exit_code) override {
    host_.abort(exit_code);
    std::terminate();  // g++ does not see that the virtual function never returns
  }

  std::vector<std::string> all_gather(const std::string& text) override {
    return host("all_gather").all_gather(text);
  }
  std::string broadcast(const std::string& text, int root) override {
    return host("broadcast").broadcast(text, root);
  }
  using Communicator::broadcast;
  int64_t largest(int64_t value) override { return host("largest").largest(value); }

  void progress() override { host_.progress(); }
  void finish() override {
    if (started_) wait();
    started_ = false;
    host_.finish();
  }

 protected:
  void reduce(Tensor& x, Reduction reduction) override {
    if (is_on_host(x)) return host("all_reduce").all_reduce(x, reduction);
    all_reduce("all_reduce", x, x.numel(), x.dtype() == DType::i32 ? ncclInt32 : ncclFloat32,
               reduction == Reduction::max ? ncclMax : ncclSum);
    wait();
  }
  void start(const Tensor& x) override {
    if (is_on_host(x)) return host("start_all_reduce").start_all_reduce(x);
    all_reduce("start_all_reduce", x, x.numel(), ncclFloat32, ncclSum);
    started_ = true;
  }
  // (tag, step) is a 64-bit number whose high half is the step; neither is negative.
  void reduce_guard(Tensor& guard) override {
    if (is_on_host(guard)) return host("all_reduce_guard").all_reduce_guard(guard);
    all_reduce("all_reduce_guard", guard, 1, ncclInt64, ncclMin);
    wait();
  }
  void send_to_all(Tensor& x, int root) override {
    if (is_on_host(x)) return host("broadcast").broadcast(x, root);
    enqueue("broadcast", [&] {
      void* data = x.address();
      NCCL_CHECK(ncclBroadcast(data, data, x.bytes(), ncclInt8, root, comm_, stream_));
    });
    wait();
  }
  void gather(Tensor& all, const Tensor& x, const std::vector<int64_t>& rows) override;

 private:
  void check_peers(Device device);
  void watch(const std::stop_token& stop, std::chrono::milliseconds patience);
  Communicator& host(const char* operation);
  void all_reduce(const char* operation, const Tensor& x, int64_t count, ncclDataType_t type,
                  ncclRedOp_t reduction) {
    enqueue(operation, [&] {
      void* data = x.address();
      NCCL_CHECK(
          ncclAllReduce(data, data, static_cast<size_t>(count), type, reduction, comm_, stream_));
    });
  }
  template <class Call>
  void enqueue(const char* operation, const Call& call) {
    order(backend_.stream(), stream_);
    call();
    wait_if_asked(operation, stream_);
  }
  void wait() { order(stream_, backend_.stream()); }
  // What is enqueued on `then` from now on runs after what is on `first` now.
  void order(cudaStream_t first, cudaStream_t then) {
    CUDA_CHECK(cudaEventRecord(reached_, first));
    CUDA_CHECK(cudaStreamWaitEvent(then, reached_, 0));
  }

  CudaBackend& backend_;
  Communicator& host_;
  Handle<cudaStream_t, cudaStreamDestroy> stream_;
  Handle<cudaEvent_t, cudaEventDestroy> reached_;
  ncclComm_t comm_ = nullptr;
  bool started_ = false;  // sums that finish() waits for
  const int exceptions_ = std::uncaught_exceptions();
  std::jthread watcher_;
};

// Blocking: where another rank never comes, the host's communicator ends this process.
NcclCommunicator::NcclCommunicator(Device device, Communicator& host,
                                   std::chrono::milliseconds patience)
    : backend_(static_cast<CudaBackend&>(backend_for(device))), host_(host) {
  // Sums made by NVLink's switches are not the same in every run, says NCCL's issue 1497.
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  check_peers(device);
  backend_.stream();  // makes the GPU the thread's current one
  CUDA_CHECK(cudaStreamCreateWithFlags(stream_.address(), cudaStreamNonBlocking));
  CUDA_CHECK(cudaEventCreateWithFlags(reached_.address(), cudaEventDisableTiming));
  ncclUniqueId id{};
  if (host.is_root()) NCCL_CHECK(ncclGetUniqueId(&id));
  const std::string bytes = host.broadcast(std::string(id.internal, sizeof(id.internal)), 0);
  check(bytes.size() == sizeof(id.internal), "nccl", "rank 0 sent ", bytes.size(), " bytes as id");
  std::ranges::copy(bytes, id.internal);
  NCCL_CHECK(ncclCommInitRank(&comm_, size(), id, rank()));
  watcher_ = std::jthread([=, this](const std::stop_token& stop) { watch(stop, patience); });
}

NcclCommunicator::~NcclCommunicator() {
  watcher_ = {};
  if (std::uncaught_exceptions() > exceptions_) {  // the other ranks may never come to the end
    ncclCommAbort(comm_);
  } else {
    cudaStreamSynchronize(stream_);
    ncclCommDestroy(comm_);
  }
}

// What NCCL would answer by a hang, or without the names of the ranks. Rank 0 speaks for all: the
// others go on to where they wait for it.
void NcclCommunicator::check_peers(Device device) {
  std::string found, wrong;
  try {
    int version = 0;
    NCCL_CHECK(ncclGetVersion(&version));
    cudaDeviceProp gpu;
    CUDA_CHECK(cudaGetDeviceProperties(&gpu, device.index));
    found = str(version, ' ', std::string(gpu.uuid.bytes, sizeof(gpu.uuid.bytes)));
  } catch (const Error& e) {
    wrong = e.what();
  }
  const auto all = host_.all_gather(found), wrongs = host_.all_gather(wrong);
  const auto version_of = [&](size_t r) { return all[r].substr(0, all[r].find(' ')); };
  for (size_t r = 0; r < all.size() && host_.is_root(); ++r) {
    const std::string name = name_of(static_cast<int>(r));
    if (!wrongs[r].empty()) throw Error(r == 0 ? wrongs[r] : str(name, ": ", wrongs[r]));
    check(version_of(r) == version_of(0), "nccl", name_of(0), " has NCCL ", version_of(0), ", ",
          name, " has ", version_of(r));
    const auto twin = std::ranges::find(all, all[r]) - all.begin();
    check(static_cast<size_t>(twin) == r, "nccl", name_of(static_cast<int>(twin)), " and ", name,
          " have the same GPU; each needs one of its own");
  }
}

// NCCL's threads note what fails, but the GPU, and whoever waits for it, may go on waiting.
void NcclCommunicator::watch(const std::stop_token& stop, std::chrono::milliseconds patience) {
  using Clock = std::chrono::steady_clock;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any changed;
  for (auto sound = Clock::now(); !stop.stop_requested();) {
    changed.wait_for(lock, stop, patience / 40, [] { return false; });
    ncclResult_t status = ncclSuccess;
    ncclCommGetAsyncError(comm_, &status);
    if (status == ncclSuccess) sound = Clock::now();
    if (Clock::now() - sound < patience) continue;
    std::fprintf(stderr, "error: %s: [nccl] %s\n", name_of(rank()).c_str(),
                 text_of(status).c_str());
    host_.abort(1);
  }
}

// The host would wait once, where the captured step is replayed many times.
Communicator& NcclCommunicator::host(const char* operation) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CUDA_CHECK(cudaStreamIsCapturing(backend_.stream(), &status));
  check(status == cudaStreamCaptureStatusNone, operation,
        "cannot wait for other processes while a CUDA graph is being captured");
  return host_;
}

// Each rank broadcasts its rows, all in one launch.
void NcclCommunicator::gather(Tensor& all, const Tensor& x, const std::vector<int64_t>& rows) {
  if (is_on_host(x)) {
    all = host_.all_gather_rows(x);
    return;
  }
  if (all.numel() == 0) return;
  const size_t row = all.bytes() / static_cast<size_t>(all.dim(0));
  enqueue("all_gather_rows", [&] {
    NCCL_CHECK(ncclGroupStart());
    ncclResult_t status = ncclSuccess;
    auto* to = static_cast<char*>(all.address());
    for (int r = 0; r < size() && status == ncclSuccess; ++r) {
      const size_t bytes = row * static_cast<size_t>(rows[static_cast<size_t>(r)]);
      const void* from = r == rank() ? x.address() : to;
      if (bytes > 0) status = ncclBroadcast(from, to, bytes, ncclInt8, r, comm_, stream_);
      to += bytes;
    }
    const ncclResult_t end = ncclGroupEnd();
    check_nccl(status, "ncclBroadcast");
    check_nccl(end, "ncclGroupEnd");
  });
  wait();
}

}  // namespace

std::unique_ptr<Communicator> nccl_communicator(Device device, Communicator& host,
                                                std::chrono::milliseconds patience) {
  return std::make_unique<NcclCommunicator>(device, host, patience);
}

}  // namespace versor::cuda
