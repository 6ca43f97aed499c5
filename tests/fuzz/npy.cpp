// A .npy file: reading takes memory in proportion to the file, and an array that was read is the
// same after writing and reading it again.
#include "data/npy.h"

#include "tests/data/temporary_folder.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static MemoryFile file;
  static const testing::TemporaryFolder folder;
  static const std::string copy = folder / "copy.npy";
  file.set(input);
  Tensor found;
  if (!accepts(file.path(), [&] { found = read_npy(file.path()); })) return;
  require(found.bytes() <= 4 * input.size(), "at most the file's bytes, each as an i32");
  write_npy(copy, found);
  const Tensor again = read_npy(copy);
  require(
      again.shape() == found.shape() && again.to_vector<int32_t>() == found.to_vector<int32_t>(),
      "the array comes back");
}

}  // namespace

FUZZ_TARGET(npy, read)

}  // namespace versor::fuzzing
