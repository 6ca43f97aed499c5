// Which snapshots of a run the figures show (bin/figures); bin/prune keeps these.
#pragma once

#include <cstdint>
#include <vector>

namespace versor {

constexpr int64_t kPaperEpochs = 100;                      // of the paper's final run
constexpr int64_t kPaperPictures[] = {0, 25, 50, 75, 99};  // its epochs of figures 1 to 5

// The epochs after which the snapshots were made. Each is the one that lies nearest to the place
// that the paper's epoch would have in a run of other length.
struct FigureEpochs {
  std::vector<int64_t> pictures;   // figures 1 to 5
  std::vector<int64_t> codebooks;  // the untrained codebook, then figures 6 to 8
  std::vector<int64_t> evolution;  // of the codebook, ascending
};

// `kept`: the epochs of the run's snapshots, at least one; `epochs`: of the whole run.
FigureEpochs figure_epochs(const std::vector<int64_t>& kept, int64_t epochs);

}  // namespace versor
