// Stands in for MPI in a build without it.
#include "tensor/communicator.h"

namespace versor {

std::unique_ptr<Communicator> join_launched() {
  check(!is_launched(), "mpi",
        "this process is one of several, but this build has no MPI (make MPI=1)");
  return nullptr;
}

bool has_mpi() {
  return false;
}

std::string mpi_version() {
  return "none: this build has no MPI";
}

}  // namespace versor
