// Several processes that train one model together, in the terms of MPI: each is a rank, 0 to
// size - 1. A Communicator is how one of them talks to all others. This class is that of a process
// that is alone, to which its own sums are those of all; mpi/ joins processes by MPI, cuda/nccl.h
// the GPUs of such processes by NCCL.
//
// Every rank must make the same calls in the same order, with tensors of equal shapes and types.
// Calls on tensors are ordered as all work of their device is: the host does not wait, and where
// is_capturable() says so, a captured step (replay.h) may contain them. Results are equal bit for
// bit on all ranks and, with the same number of ranks, in all runs. Sums round differently with
// another number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace versor {

enum class Reduction { sum, max };

class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  // Whether this rank's sums are those of all, so that there is nothing to do.
  virtual bool is_alone() const { return size() == 1; }
  bool is_root() const { return rank() == 0; }  // the rank that writes files and speaks to users
  // "rank 3 (process 4711 on host node7)", for errors.
  virtual std::string name_of(int rank) const;
  // This rank among those on its host, and how many these are: they share its cores and GPUs.
  virtual int local_rank() const { return 0; }
  virtual int local_size() const { return 1; }

  // --- tensors ----------------------------------------------------------------------------------
  // x[i] = the sum (f32 or i32), or the largest (f32), of all ranks' x[i].
  void all_reduce(Tensor& x, Reduction reduction = Reduction::sum);
  // The same sum, f32, which may go on while the caller works. Between this and finish() nobody may
  // touch x, and every rank starts the same sums in the same order.
  void start_all_reduce(const Tensor& x);
  // Lets started sums go on where they only do so in calls. Cheap; may be called at any time.
  virtual void progress() {}
  // What is called from here on sees all sums that were started.
  virtual void finish() {}
  // The least of all ranks' guards (find_nonfinite in backend.h), compared as pairs (step, tag):
  // the first finding.   guard i32 [2].
  void all_reduce_guard(Tensor& guard);
  // x = root's x, of any type.
  void broadcast(Tensor& x, int root = 0);
  // The rows of all ranks in the order of the ranks, [R_i,...] -> [sum of R_i,...] of any type; the
  // number of rows may differ between ranks and be 0. Waits.
  Tensor all_gather_rows(const Tensor& x);
  virtual bool is_capturable() const { return true; }

  // --- the host; all of these wait --------------------------------------------------------------
  // The texts of all ranks, in their order.
  virtual std::vector<std::string> all_gather(const std::string& text) { return {text}; }
  // The text of root.
  virtual std::string broadcast(const std::string& text, int root) { return (void)root, text; }
  virtual int64_t largest(int64_t value) { return value; }
  // Ends all ranks at once, for a rank that has failed by itself: the others would wait for it.
  [[noreturn]] virtual void abort(int exit_code);

 protected:
  // As above, with the arguments checked and size() > 1. `rows` are the rows of each rank.
  virtual void reduce(Tensor& x, Reduction reduction) { (void)x, (void)reduction; }
  virtual void start(const Tensor& x) { (void)x; }
  virtual void reduce_guard(Tensor& guard) { (void)guard; }
  virtual void send_to_all(Tensor& x, int root) { (void)x, (void)root; }
  virtual void gather(Tensor& all, const Tensor& x, const std::vector<int64_t>& rows) {
    (void)all, (void)x, (void)rows;
  }
};

// That of a process by itself.
Communicator& alone();

// What joins the processes that a launcher (mpirun, srun) has started. Made once in a process,
// before its first thread; returns nothing in a process that no launcher has started. Throws Error
// if one has but this build has no MPI.
std::unique_ptr<Communicator> join_launched();
// How many processes, this one included, the launcher has started; 1 without one.
int launched_processes();
inline bool is_launched() {
  return launched_processes() > 1;
}
// Whether this process's parent is Open MPI's launcher, or its deputy on this host.
bool launcher_is_parent();
// "Open MPI 4.1.4", or why there is none.
std::string mpi_version();
bool has_mpi();  // whether this build has it

// One for tensors on the device, which uses `host` for everything else: NCCL's on a GPU. Returns
// nothing where `host` itself serves the device: on the CPU, and for a process that is alone,
// unless VERSOR_NCCL=1 in the environment joins even one GPU, to try NCCL. `host` must outlive it.
// Throws Error if this build has no NCCL.
std::unique_ptr<Communicator> communicator_on(Device device, Communicator& host);

}  // namespace versor
