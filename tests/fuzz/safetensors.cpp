// A safetensors file: reading takes memory in proportion to the file, and a file that was read is
// the same after writing and reading it again.
#include "nn/safetensors.h"

#include "tests/data/temporary_folder.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

std::string_view bytes_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.address()), tensor.bytes()};
}

void read(std::string_view input) {
  static MemoryFile file;
  static const testing::TemporaryFolder folder;
  static const std::string copy = folder / "copy";
  file.set(input);
  SafetensorsFile found;
  if (!accepts(file.path(), [&] { found = read_safetensors(file.path()); })) return;
  size_t bytes = 0;
  for (const auto& [name, tensor] : found.tensors) bytes += tensor.bytes();
  require(bytes <= 2 * input.size(), "at most the file's bytes, and as f32 twice those of f16");

  write_safetensors(copy, found);
  const SafetensorsFile again = read_safetensors(copy);
  require(again.metadata == found.metadata && again.tensors.size() == found.tensors.size(),
          "the metadata and the number of tensors come back");
  for (const auto& [name, tensor] : found.tensors) {
    const Tensor& other = again.at(name, copy);
    require(other.shape() == tensor.shape() && other.dtype() == tensor.dtype() &&
                bytes_of(other) == bytes_of(tensor),
            "tensors come back bit for bit");
  }
}

}  // namespace

FUZZ_TARGET(safetensors, read)

}  // namespace versor::fuzzing
