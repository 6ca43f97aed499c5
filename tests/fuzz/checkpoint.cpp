// A safetensors file as the checkpoint of a run, and as one of its snapshots. Restoring gives a
// position, and restoring again gives the same one.
#include "experiments/run/checkpoint.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/run/snapshot.h"
#include "tests/data/temporary_folder.h"
#include "tests/fuzz/fuzz.h"
#include "vq/vqvae.h"

namespace versor::fuzzing {
namespace {

const nlohmann::ordered_json kConfig = {{"epochs", 2}, {"seed", 1}};
const VqVaeOptions kTiny = {
    .quantizer = {.codebook = {.codes = 2, .latent = 1}}, .image_channels = 1, .hidden = 1};

void read(std::string_view input) {
  static MemoryFile file;
  static const testing::TemporaryFolder temporary;
  static const RunFolder folder(temporary / "run", kConfig);
  static VqVae model(kTiny, {}, Rng(1));
  static Adam adam(model.parameters(), {});
  if (!folder.has("snapshots")) {  // links, so that every file is the one in memory
    std::filesystem::create_directory(folder.file("snapshots"));
    for (const char* name : {"trainer.safetensors", "snapshots/epoch-0001.safetensors"})
      std::filesystem::create_symlink(file.path(), folder.file(name));
  }
  file.set(input);
  const auto restore = [&] { return restore_checkpoint(folder, kConfig, model, adam); };
  accepts(folder.path(), [&] {
    const auto progress = restore();
    require(progress && progress->rows.size() == static_cast<size_t>(progress->epoch),
            "a row for each epoch");
    require(to_text(*restore()) == to_text(*progress), "the position comes back");
  });
  accepts(folder.path(), [&] {
    const Snapshot snapshot = read_snapshot(folder.path(), 1);
    require(snapshot.codebook.dtype() == DType::f32 &&
                snapshot.codebook.dim(0) == static_cast<int64_t>(snapshot.counts.size()),
            "a count for each code");
  });
}

}  // namespace

FUZZ_TARGET(checkpoint, read)

}  // namespace versor::fuzzing
