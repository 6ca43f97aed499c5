// Points of a CSV file: no more than it has lines, and no more numbers than it has bytes.
#include "experiments/tsne/points.h"

#include <algorithm>
#include <cmath>

#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void check_points(std::string_view input) {
  static MemoryFile file;
  file.set(input);
  Points read;
  if (!accepts(file.path(), [&] { read = read_points(file.path()); })) return;
  const Tensor& points = read.values;
  const auto breaks = std::count(input.begin(), input.end(), '\n');
  require(points.shape().rank() == 2 && points.dim(0) >= 1 && points.dim(0) <= breaks + 1 &&
              points.dim(1) >= 1,
          "at most a point for each line");
  require(points.numel() <= static_cast<int64_t>(input.size()), "a number takes a byte");
}

}  // namespace

FUZZ_TARGET(points, check_points)

}  // namespace versor::fuzzing
