// What the ranks of a training compare: their options before it begins, and their state from time
// to time. Both are errors of all ranks (SharedError, cli/ranks.h).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "experiments/run/run_options.h"
#include "tensor/communicator.h"

namespace versor {

// Throws SharedError unless all ranks run the same build, and train with the same options on the
// same images. It names the first rank that does not, and what differs from rank 0.
void check_same_start(Communicator& ranks, const RunOptions& options,
                      const nlohmann::ordered_json& config);

// Throws SharedError unless the tensors, and a text beside them, are the same bit for bit on all
// ranks. It names the first tensor that is not, after this step of the run.
void check_no_drift(Communicator& ranks, const std::vector<std::pair<std::string, Tensor>>& state,
                    const std::string& metrics, int64_t step);

}  // namespace versor
