// Stands in for MPI in a build without it.
#include "tensor/communicator.h"
#include "tensor/environment.h"

namespace versor {

// Open MPI and PMIx set the first, MPICH's launchers and srun's PMI the others.
bool is_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const auto size = environment(name)) return *size != "1";
  return false;
}

std::unique_ptr<Communicator> join_launched() {
  check(!is_launched(), "mpi",
        "this process is one of several, but this build has no MPI (make MPI=1)");
  return nullptr;
}

std::string mpi_version() {
  return "none: this build has no MPI";
}

}  // namespace versor
