// A safetensors file as the weights of a model, with a tensor "images" as the batch: bin/one_step
// makes a step from it, with memory in proportion to the file. A valid file has no tensor that the
// model does not know.
#include "experiments/run/one_step.h"
#include "nn/safetensors.h"
#include "tensor/backend.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

void read(std::string_view input) {
  static MemoryFile file;
  file.set(input);
  const std::string path = file.path();
  SafetensorsFile weights, batch;
  if (!accepts(path, [&] { weights = read_safetensors(path); })) return;
  if (auto images = weights.tensors.extract("images")) batch.tensors.insert(std::move(images));
  MemoryPool& pool = backend_for({}).pool();
  pool.reset_peak();
  SafetensorsFile result;
  if (accepts(path, [&] { result = one_step(weights, path, batch, path, {}, {}); }))
    require(result.tensors.size() > 2 * weights.tensors.size() / 3, "all of the state comes back");
  else
    require(pool.peak_bytes() <= 64 * input.size() + 65536, "no model that the file does not fill");
}

}  // namespace

FUZZ_TARGET(weights, read)

}  // namespace versor::fuzzing
