// Version and commit, which the Makefile passes to the compilation of this file alone.
#include "experiments/cli/version.h"

namespace versor {

std::string version() {
  return VERSOR_VERSION;
}
std::string commit() {
  return VERSOR_COMMIT;
}
std::string compiler_flags() {
  return VERSOR_COMPILER_FLAGS;
}

}  // namespace versor
