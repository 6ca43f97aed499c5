// What one of several processes on a host gets of it: cores and a GPU.
#pragma once

#include "tensor/communicator.h"

namespace versor {

struct Cores {
  int host;  // the threads of a process that is alone on rank 0's host, or those asked for
  int rank;  // the threads of this rank
};

// Shares the cores of a host evenly among the ranks on it, at least one each. `threads` of each
// rank instead, if not 0, or OMP_NUM_THREADS if that is set. The cores are those that any of the
// ranks or the mpirun that started them may use. Open MPI binds each rank to fewer: a rank that is
// bound to fewer cores than it has threads moves to its share of them. To be called before the
// first parallel region. Waits for all ranks.
Cores share_cores(Communicator& ranks, int threads);

// Gives each of several ranks on a host one of its GPUs, in turn, which is then cuda:0 to it
// (CUDA_VISIBLE_DEVICES). To be called before CUDA is initialised.
void take_gpu(const Communicator& ranks);

}  // namespace versor
