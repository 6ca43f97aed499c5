// A safetensors file as the weights of a model. With a tensor "images" as the batch bin/one_step
// makes a step from it; a valid file has no tensor that the model does not know. With metadata that
// say what model it holds, that model is made. Both take memory in proportion to the file.
#include "experiments/run/model_file.h"
#include "experiments/run/one_step.h"
#include "nn/safetensors.h"
#include "tensor/backend.h"
#include "tests/fuzz/fuzz.h"

namespace versor::fuzzing {
namespace {

constexpr int64_t kMostCodes = 1024;  // of a grid, which the file does not hold

// How much more memory is handed out at the worst moment of the work than before it.
class Growth {
 public:
  Growth() : before_(pool().current_bytes()) { pool().reset_peak(); }
  size_t bytes() const { return pool().peak_bytes() - before_; }

 private:
  static MemoryPool& pool() { return backend_for({}).pool(); }
  size_t before_;
};

void read_model(const std::string& path, size_t size) {
  const Growth growth;
  const auto change = [&](RunOptions& o) {
    check(o.codes <= kMostCodes, "fuzz", path, " would make a large grid");
    o.threads = 1;
  };
  accepts(path, [&] { load_model(path, change); });
  require(growth.bytes() <= 64 * size + 65536 + 64 * kMostCodes, "no model that does not fit");
}

void read(std::string_view input) {
  static MemoryFile file;
  file.set(input);
  const std::string path = file.path();
  SafetensorsFile weights, batch;
  if (!accepts(path, [&] { weights = read_safetensors(path); })) return;
  if (weights.metadata.contains("format")) return read_model(path, input.size());
  if (auto images = weights.tensors.extract("images")) batch.tensors.insert(std::move(images));
  const Growth growth;
  SafetensorsFile result;
  if (accepts(path, [&] { result = one_step(weights, path, batch, path, {}, {}); }))
    require(result.tensors.size() > 2 * weights.tensors.size() / 3, "all of the state comes back");
  else
    require(growth.bytes() <= 64 * input.size() + 65536, "no model that the file does not fill");
}

}  // namespace

FUZZ_TARGET(weights, read)

}  // namespace versor::fuzzing
