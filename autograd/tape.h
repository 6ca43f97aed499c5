// The tape of a computation, for people to read: what record() noted of each differentiable
// function that the result depends on, and the memory that each keeps for its backward.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace versor {

struct TapeEntry {
  struct Input {
    // The number of the entry that made it; nothing for a leaf or a constant.
    std::optional<uint64_t> made_by;
    Shape shape;
    // Where a leaf's value lies, so that it can be told by name; null for all others.
    const void* leaf = nullptr;
  };

  uint64_t number;  // counts all recorded functions: an entry comes after those it depends on
  std::string name;
  std::vector<Input> inputs;  // without inputs that the function was called without
  Shape shape;                // of the result
  // Bytes that become free once the entry's backward has run: those that it keeps and no earlier
  // entry does. A sum over the entries counts each tensor once.
  size_t saved_bytes = 0;
};

// The entries that `result` depends on, in the order of the forward pass. Frees what the entries
// saved, as backward() does, so that a backward() of the result throws afterwards.
// Memory that is in use elsewhere, such as values and parameters that the caller holds, is not
// counted.
std::vector<TapeEntry> take_tape(const Variable& result);

}  // namespace versor
