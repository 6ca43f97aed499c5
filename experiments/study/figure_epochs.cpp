// The snapshots of the figures: see figure_epochs.h.
#include "experiments/study/figure_epochs.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace versor {
namespace {

constexpr int64_t kPaperCodebooks[] = {0, 25, 49};  // epochs of figures 6 to 8
constexpr int kEvolution = 8;                       // panels

// The number of finished epochs that corresponds to the paper's "epoch e", in a run of `epochs`.
int64_t state_of(int64_t caption, int64_t epochs) {
  const double share = static_cast<double>(caption) / static_cast<double>(kPaperEpochs - 1);
  return 1 + std::llround(share * static_cast<double>(epochs - 1));
}

int64_t nearest(const std::vector<int64_t>& kept, int64_t epoch) {
  return *std::min_element(kept.begin(), kept.end(), [&](int64_t a, int64_t b) {
    return std::llabs(a - epoch) < std::llabs(b - epoch);
  });
}

}  // namespace

FigureEpochs figure_epochs(const std::vector<int64_t>& kept, int64_t epochs) {
  FigureEpochs all;
  for (int64_t caption : kPaperPictures)
    all.pictures.push_back(nearest(kept, state_of(caption, epochs)));
  all.codebooks.push_back(nearest(kept, 0));
  for (int64_t caption : kPaperCodebooks)
    all.codebooks.push_back(nearest(kept, state_of(caption, epochs)));
  for (int i = 0; i < kEvolution; ++i) {
    const double share = static_cast<double>(i) / (kEvolution - 1);
    const int64_t epoch = nearest(kept, std::llround(share * static_cast<double>(epochs)));
    if (all.evolution.empty() || epoch > all.evolution.back()) all.evolution.push_back(epoch);
  }
  return all;
}

}  // namespace versor
