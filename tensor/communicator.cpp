// The checked front end of communication, and a process that is alone: see communicator.h.
#include "tensor/communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "tensor/checks.h"
#include "tensor/environment.h"
#include "tensor/ops.h"
#include "tensor/trace.h"

namespace versor {

std::string Communicator::name_of(int rank) const {
  return str("rank ", rank, " (process ", getpid(), ")");
}

void Communicator::abort(int exit_code) {
  std::_Exit(exit_code);
}

void Communicator::all_reduce(Tensor& x, Reduction reduction) {
  check(x.dtype() == DType::f32 || (x.dtype() == DType::i32 && reduction == Reduction::sum),
        "all_reduce", "cannot reduce ", x.dtype(), " ", x.shape());
  if (is_alone() || x.numel() == 0) return;
  TraceScope trace("all_reduce", x.backend(), 0, {&x});
  reduce(x, reduction);
}

void Communicator::start_all_reduce(const Tensor& x) {
  ops::check_dtype("all_reduce", x, DType::f32);
  if (is_alone() || x.numel() == 0) return;
  TraceScope trace("start_all_reduce", x.backend(), 0, {&x});
  start(x);
}

void Communicator::all_reduce_guard(Tensor& guard) {
  ops::check_guard("all_reduce_guard", guard, guard);
  if (is_alone()) return;
  TraceScope trace("all_reduce_guard", guard.backend(), 0, {&guard});
  reduce_guard(guard);
}

void Communicator::broadcast(Tensor& x, int root) {
  check(0 <= root && root < size(), "broadcast", "there is no rank ", root, " among ", size());
  if (is_alone() || x.numel() == 0) return;
  TraceScope trace("broadcast", x.backend(), 0, {&x});
  send_to_all(x, root);
}

Tensor Communicator::all_gather_rows(const Tensor& x) {
  check(x.defined() && x.shape().rank() >= 1, "all_gather_rows", "needs rows");
  if (is_alone()) return ops::clone(x);
  std::vector<int64_t> rows;
  for (const std::string& text : all_gather(std::to_string(x.dim(0))))
    rows.push_back(std::stoll(text));
  std::vector<int64_t> extents(x.shape().begin(), x.shape().end());
  extents[0] = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  Tensor all(Shape(std::span<const int64_t>(extents)), x.dtype(), x.device());
  gather(all, x, rows);
  return all;
}

bool launcher_is_parent() {
  std::ifstream in(str("/proc/", getppid(), "/comm"));
  std::string name;
  in >> name;
  return std::ranges::any_of(std::array{"mpirun", "mpiexec", "orte", "prte"},
                             [&](const char* launcher) { return name.starts_with(launcher); });
}

int launched_processes() {
  // mpirun of Open MPI; those of MPICH and srun --mpi=pmi2; any srun
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const auto size = environment(name)) return std::atoi(size->c_str());
  return 1;
}

Communicator& alone() {
  static Communicator one;
  return one;
}

}  // namespace versor
