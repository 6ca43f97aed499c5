// For tests of what happens when NCCL fails: see cuda_on_cpu_nccl.cpp.
#pragma once

#include <string>

namespace cuda_on_cpu {

// The next call of NCCL that this thread makes does nothing and returns `status`, with `detail` as
// its last error.
void fail_next_nccl_call(int status, std::string detail);
// What every communicator reports from now on as a fault of its own threads; 0: none.
void set_nccl_fault(int status);

}  // namespace cuda_on_cpu
