// x[i] = the sum, or the largest, of all ranks' x[i], while the caller does something else.
//
// x is cut into one block per rank. Each rank sends every other one that one's block, adds up its
// own of all ranks and sends the result to all: 2 (n-1)/n of x's bytes leave each rank, in two
// rounds, as in the best algorithms for large x. MPI's own sums choose between several algorithms
// by size, number of ranks and where these run; MPI demands equal results on all ranks, but only
// recommends equal ones in all runs (MPI 4.0, section 6.9.1). Here an element is added up in the
// order of the ranks, in f64, and rounded once: its value depends on nothing but the ranks' values,
// neither on what else is in x nor on the MPI in use.
#pragma once

#include <mpi.h>

#include <vector>

#include "tensor/communicator.h"

namespace versor::mpi {

class BlockReduction {
 public:
  // x f32 or i32 on the CPU. All ranks give the same tag, which no other unfinished reduction has;
  // tag + 1 is used, too. Sends at once.
  BlockReduction(const Tensor& x, Reduction reduction, MPI_Comm ranks, int tag);
  BlockReduction(const BlockReduction&) = delete;  // MPI knows the addresses
  BlockReduction& operator=(const BlockReduction&) = delete;

  // Goes on as far as possible without waiting. Returns whether x has its final values.
  bool advance();

 private:
  struct Part {  // of x, or of what was received
    char* address;
    int length;
  };
  Part block_of(int rank);       // in x
  Part received_from(int rank);  // of this rank's block
  void exchange(Part outgoing, Part incoming, int rank, int tag);
  template <class T, class Wide>
  void combine();

  Tensor x_;
  Reduction reduction_;
  MPI_Comm ranks_;
  MPI_Datatype type_;
  int rank_ = 0, size_ = 0, tag_;
  bool combined_ = false;
  Tensor received_;  // [n, length of this rank's block]
  std::vector<MPI_Request> requests_;
};

}  // namespace versor::mpi
