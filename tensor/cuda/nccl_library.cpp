// The functions of NCCL that nccl.cpp calls. Each forwards to the library, which is opened when
// several processes join their GPUs: other programs need none.
#include <nccl.h>

#include "tensor/cuda/lazy_library.h"

namespace {

// Forwards to NCCL's function of that name.
template <auto function, class... Arguments>
auto call(const char* name, Arguments... arguments) {
  static void* const library = versor::cuda::open_library("nccl", NCCL_MAJOR);
  return versor::cuda::forward<function>(library, name, arguments...);
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  return call<ncclGetVersion>("ncclGetVersion", version);
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  return call<ncclGetUniqueId>("ncclGetUniqueId", id);
}
ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int ranks, ncclUniqueId id, int rank) {
  return call<ncclCommInitRank>("ncclCommInitRank", communicator, ranks, id, rank);
}
ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  return call<ncclCommDestroy>("ncclCommDestroy", communicator);
}
ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  return call<ncclCommAbort>("ncclCommAbort", communicator);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* status) {
  return call<ncclCommGetAsyncError>("ncclCommGetAsyncError", communicator, status);
}
const char* ncclGetErrorString(ncclResult_t status) {
  return call<ncclGetErrorString>("ncclGetErrorString", status);
}
const char* ncclGetLastError(ncclComm_t communicator) {
  return call<ncclGetLastError>("ncclGetLastError", communicator);
}
ncclResult_t ncclGroupStart() {
  return call<ncclGroupStart>("ncclGroupStart");
}
ncclResult_t ncclGroupEnd() {
  return call<ncclGroupEnd>("ncclGroupEnd");
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t reduction, ncclComm_t communicator, cudaStream_t stream) {
  return call<ncclAllReduce>("ncclAllReduce", from, to, count, type, reduction, communicator,
                             stream);
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  return call<ncclBroadcast>("ncclBroadcast", from, to, count, type, root, communicator, stream);
}
