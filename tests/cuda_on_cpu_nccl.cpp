// The CPU's replacement for NCCL and for the streams and events of the CUDA runtime, behind
// tests/cuda_headers. Ranks are threads of one process, each with a device of its own; sums are
// made in the order of the ranks. It is stricter than NCCL where that exposes mistakes:
//  - ranks whose calls differ in function, type, size, place in the order, or in being captured are
//    errors, not hangs;
//  - so are calls of one communicator on several streams, calls that do not wait for the kernels
//    before them, and events that cross the border of a capture;
//  - what a call works on is NaN until a stream waits for it. The work itself is done then, or at
//    once with Order::reverse, so that nobody may write to it meanwhile, or rely on its old or new
//    content.
#include "tests/cuda_on_cpu_nccl.h"

#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>

#include "tensor/cuda/handle.h"
#include "tests/cuda_on_cpu.h"
#include "tests/thread_communicator.h"

using cuda_on_cpu::is_capturing;
using cuda_on_cpu::Work;
using versor::check;
using versor::str;
using versor::testing::MeetingPoint;

// A stream beside that of a backend, which is null here.
struct CUstream_st {
  std::deque<Work> waiting;  // what no other stream has waited for
  int64_t done = 0;          // how much has left `waiting`
  bool captured = false;     // whether it belongs to a captured step
  bool ordered = false;      // whether what comes next waits for the backend's stream
};

struct CUevent_st {
  cudaStream_t stream = nullptr;
  int64_t reached = 0;
  bool captured = false;
};

struct ncclComm {
  int rank = 0;
  std::shared_ptr<MeetingPoint> point;
  cudaStream_t stream = nullptr;  // of all calls
  int64_t calls = 0;
  std::shared_ptr<int> graphs = std::make_shared<int>();  // captured calls share it
};

namespace {

// --- streams -------------------------------------------------------------------------------------

bool is_captured(cudaStream_t stream) {
  return is_capturing() && (stream == nullptr || stream->captured);
}

// Lets the first `count` pieces of work happen where the backend's stream is now.
void do_work(CUstream_st& stream, int64_t until) {
  for (; stream.done < until; ++stream.done) {
    cuda_on_cpu::enqueue(std::move(stream.waiting.front()));
    stream.waiting.pop_front();
  }
}

int64_t all_work(const CUstream_st& stream) {
  return stream.done + std::ssize(stream.waiting);
}

// --- calls ---------------------------------------------------------------------------------------

thread_local ncclResult_t next_status = ncclSuccess;
thread_local std::string last_error;
std::atomic<int> fault = ncclSuccess;

struct Call {
  ncclComm_t communicator;
  cudaStream_t stream;
  std::string text;
  const void* from;
  void* to;
  size_t bytes;
  // result = what all ranks brought, combined
  std::function<void(char* result, const std::vector<MeetingPoint::Brought>&)> combine;
};
thread_local bool in_group = false;
thread_local std::vector<Call> group;

void issue(const Call& call) {
  const std::shared_ptr<int> graph = is_capturing() ? call.communicator->graphs : nullptr;
  const std::string text =
      str("call ", ++call.communicator->calls, graph ? ", captured, " : ", ", call.text);
  const auto brought = std::make_shared<std::string>();
  cuda_on_cpu::enqueue([=] {
    brought->assign(static_cast<const char*>(call.from), call.bytes);
    std::memset(call.to, 0xff, call.bytes);
  });
  const auto work = [=, point = call.communicator->point, rank = call.communicator->rank] {
    (void)graph;
    const auto* now = static_cast<const char*>(call.to);
    check(std::all_of(now, now + call.bytes, [](char c) { return c == '\xff'; }), "nccl", text,
          ": somebody else has written to its memory");
    std::string result(call.bytes, '\0');
    point->meet(rank, {text, brought->data()},
                [&](const auto& all) { call.combine(result.data(), all); });
    std::memcpy(call.to, result.data(), call.bytes);
  };
  call.stream->waiting.push_back(work);
}

void issue_all(const std::vector<Call>& calls) {
  if (calls.empty()) return;
  CUstream_st& stream = *calls[0].stream;
  check(std::exchange(stream.ordered, false), "nccl", calls[0].text,
        " does not wait for the kernels before it");
  check(stream.waiting.empty() || stream.captured == is_capturing(), "nccl",
        "a capture has ended before the stream of NCCL was joined");
  for (const Call& call : calls) issue(call);
  if (cuda_on_cpu::order() == cuda_on_cpu::Order::reverse) do_work(stream, all_work(stream));
}

// What the next call returns instead of doing anything.
ncclResult_t failure() {
  return std::exchange(next_status, ncclSuccess);
}

ncclResult_t submit(Call call) {
  if (const ncclResult_t status = failure(); status != ncclSuccess) return status;
  ncclComm& communicator = *call.communicator;
  if (communicator.stream == nullptr) communicator.stream = call.stream;
  check(call.stream != nullptr && call.stream == communicator.stream, "nccl", call.text,
        " is on another stream than the calls before it");
  if (in_group)
    group.push_back(std::move(call));
  else
    issue_all({std::move(call)});
  return ncclSuccess;
}

template <class T, class Combine>
auto combining(size_t count, Combine combine) {
  return [=](char* result, const std::vector<MeetingPoint::Brought>& all) {
    auto* out = reinterpret_cast<T*>(result);
    std::memcpy(result, all[0].data, count * sizeof(T));
    for (size_t r = 1; r < all.size(); ++r)
      for (size_t i = 0; i < count; ++i)
        out[i] = combine(out[i], static_cast<const T*>(all[r].data)[i]);
  };
}

std::shared_ptr<MeetingPoint> point_of(const ncclUniqueId& id, int ranks) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<MeetingPoint>> points;
  const std::lock_guard lock(mutex);
  std::weak_ptr<MeetingPoint>& known = points[std::string(id.internal, sizeof(id.internal))];
  auto point = known.lock();
  if (point == nullptr) known = point = std::make_shared<MeetingPoint>(ranks);
  return point;
}

}  // namespace

void cuda_on_cpu::fail_next_nccl_call(int status, std::string detail) {
  next_status = static_cast<ncclResult_t>(status);
  last_error = std::move(detail);
}

void cuda_on_cpu::set_nccl_fault(int status) {
  fault = status;
}

// --- the CUDA runtime ----------------------------------------------------------------------------

namespace versor::cuda {

void check_status(cudaError_t status, const char* call, const char*, int) {
  check(status == cudaSuccess, "cuda", call, " failed");
}

void wait_if_asked(const char*, cudaStream_t) {}

}  // namespace versor::cuda

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  properties->uuid.bytes[0] = static_cast<char>(cuda_on_cpu::visible_device() + device);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new CUstream_st;
  return flags == cudaStreamNonBlocking ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  try {
    do_work(*stream, all_work(*stream));
  } catch (const versor::Error&) {
    return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = is_captured(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  check(event->captured == is_capturing(), "cuda", "an event crosses the border of a capture");
  if (stream != nullptr) {
    stream->captured = event->captured;
    stream->ordered = event->stream == nullptr;
  } else if (event->stream != nullptr) {
    do_work(*event->stream, event->reached);
  }
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream == nullptr ? 0 : all_work(*stream), is_captured(stream)};
  return cudaSuccess;
}

// --- NCCL ----------------------------------------------------------------------------------------

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return failure();
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> number = 0;
  std::snprintf(id->internal, sizeof(id->internal), "communicator %d", ++number);
  return failure();
}
ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int ranks, ncclUniqueId id, int rank) {
  if (const ncclResult_t status = failure(); status != ncclSuccess) return status;
  auto made = std::make_unique<ncclComm>();
  made->rank = rank;
  made->point = point_of(id, ranks);
  made->point->meet(rank, {str("ncclCommInitRank ", ranks)}, [](const auto&) {});
  *communicator = made.release();
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  const std::unique_ptr<ncclComm> last(communicator);
  if (last->graphs.use_count() > 1) {
    std::fputs("ncclCommDestroy would wait for the captured step that calls it\n", stderr);
    std::abort();
  }
  try {
    last->point->meet(last->rank, {"ncclCommDestroy"}, [](const auto&) {});
  } catch (const versor::Error&) {
    return ncclRemoteError;
  }
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  communicator->point->give_up();
  delete communicator;
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* status) {
  *status = static_cast<ncclResult_t>(fault.load());
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclSystemError ? "unhandled system error" : "another error";
}
const char* ncclGetLastError(ncclComm_t) {
  return last_error.c_str();
}
ncclResult_t ncclGroupStart() {
  in_group = true;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  in_group = false;
  issue_all(std::exchange(group, {}));
  return ncclSuccess;
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t reduction, ncclComm_t communicator, cudaStream_t stream) {
  Call call{communicator,
            stream,
            str("ncclAllReduce of ", count, " of type ", type, " by ", reduction),
            from,
            to,
            count * (type == ncclInt64 ? 8 : 4),
            {}};
  if (type == ncclFloat32 && reduction == ncclSum)
    call.combine = combining<float>(count, [](float a, float b) { return a + b; });
  else if (type == ncclFloat32 && reduction == ncclMax)
    call.combine = combining<float>(count, [](float a, float b) { return std::max(a, b); });
  else if (type == ncclInt32 && reduction == ncclSum)
    call.combine = combining<int32_t>(count, [](int32_t a, int32_t b) { return a + b; });
  else if (type == ncclInt64 && reduction == ncclMin)
    call.combine = combining<int64_t>(count, [](int64_t a, int64_t b) { return std::min(a, b); });
  else
    return ncclInvalidArgument;
  return submit(std::move(call));
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  if (type != ncclInt8) return ncclInvalidArgument;
  const auto copy = [=](char* result, const std::vector<MeetingPoint::Brought>& all) {
    std::memcpy(result, all[static_cast<size_t>(root)].data, count);
  };
  return submit({communicator, stream, str("ncclBroadcast of ", count, " from ", root), from, to,
                 count, copy});
}
