// For tests that several processes run together: make rank-tests. Every rank runs every test, and
// all fail if one does. A test must make the same calls of the communicator on all ranks.
#pragma once

#include "tensor/communicator.h"

namespace versor::testing {

// All ranks; by itself a rank if no launcher has started several.
Communicator& world();

}  // namespace versor::testing
