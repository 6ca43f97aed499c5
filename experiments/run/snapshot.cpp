// Snapshots: see snapshot.h.
#include "experiments/run/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "data/image_grid.h"
#include "nn/safetensors.h"

namespace versor {
namespace {

namespace fs = std::filesystem;

// Images side by side: at most eight, fewer where they are wide; and rows of them.
constexpr int64_t kMostPerRow = 8, kWidth = 800, kRows = 2;
constexpr int64_t kEnlargedTo = 96;  // pixels; larger images are not enlarged

std::string path_of(const std::string& run_folder, int64_t epoch, const char* ending) {
  return fmt::format("{}/snapshots/epoch-{:04d}{}", run_folder, epoch, ending);
}

}  // namespace

bool is_kept(int64_t epoch, int64_t epochs) {
  return epoch <= 5 || epoch % 5 == 1 || epoch % 25 == 0 || epoch == epochs;
}

void draw_reconstructions(const std::string& path, VqModel& model, const Tensor& images) {
  const NoGradGuard no_grad;
  const bool training = model.training();
  model.set_training(false);
  const int64_t larger = std::max(images.dim(1), images.dim(2));
  const int64_t scale = std::max<int64_t>(1, kEnlargedTo / larger);
  const int64_t per_row = std::clamp<int64_t>(kWidth / (scale * images.dim(2)), 1, kMostPerRow);
  const int64_t shown = std::min(images.dim(0), kRows * per_row);
  const Tensor originals = images.rows(0, shown);
  const Tensor reconstructions = model(originals).reconstruction.value();
  model.set_training(training);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < shown; i += per_row) {
    const int64_t end = std::min(i + per_row, shown);
    rows.push_back(originals.rows(i, end));
    rows.push_back(reconstructions.rows(i, end));
  }
  write_image_grid(path, rows, static_cast<int>(scale));
}

void write_snapshot(const std::string& run_folder, int64_t epoch, VqModel& model,
                    const std::vector<int64_t>& counts, const Tensor& images) {
  fs::create_directories(run_folder + "/snapshots");
  draw_reconstructions(path_of(run_folder, epoch, ".png"), model, images);
  SafetensorsFile file;
  auto of_level = counts.begin();
  for (const VqModel::Level& level : model.levels()) {
    // With several symbols per row: row k is what a latent with all symbols k decodes to, and the
    // counts are those of the first symbol.
    const auto [symbols, codes] = level.quantizer->vocabulary();
    const std::vector<int32_t> narrow(of_level, of_level + codes);
    std::vector<int32_t> all_codes(static_cast<size_t>(symbols * codes));
    for (size_t i = 0; i < all_codes.size(); ++i)
      all_codes[i] = static_cast<int32_t>(static_cast<int64_t>(i) % codes);
    const std::string prefix = &level == &model.levels().back() ? "" : level.name + ".";
    file.tensors[prefix + "codebook.weight"] =
        level.quantizer->decode(Tensor::from(all_codes, {symbols, codes}, images.device()));
    file.tensors[prefix + "counts"] = Tensor::from(narrow, {codes});
    of_level += symbols * codes;
  }
  write_safetensors(path_of(run_folder, epoch, ".safetensors"), file);
}

std::vector<int64_t> snapshot_epochs(const std::string& run_folder) {
  std::vector<int64_t> epochs;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run_folder + "/snapshots", none)) {
    const std::string name = entry.path().stem().string();  // "epoch-0026"
    int64_t epoch = 0;
    const char* end = name.data() + name.size();
    if (entry.path().extension() != ".safetensors" || !name.starts_with("epoch-")) continue;
    const auto [stop, error] = std::from_chars(name.data() + 6, end, epoch);
    if (stop == end && error == std::errc()) epochs.push_back(epoch);
  }
  std::sort(epochs.begin(), epochs.end());
  return epochs;
}

std::vector<std::string> snapshot_files(const std::string& run_folder, int64_t epoch) {
  return {path_of(run_folder, epoch, ".safetensors"), path_of(run_folder, epoch, ".png")};
}

Snapshot read_snapshot(const std::string& run_folder, int64_t epoch) {
  const std::string path = path_of(run_folder, epoch, ".safetensors");
  const SafetensorsFile file = read_safetensors(path);
  const Tensor &codebook = file.at("codebook.weight", path), &counts = file.at("counts", path);
  check(codebook.dtype() == DType::f32 && codebook.shape().rank() == 2 &&
            counts.dtype() == DType::i32 && counts.shape() == Shape{codebook.dim(0)},
        "snapshot", path, ": counts, ", counts.dtype(), " ", counts.shape(),
        ", do not match the codebook, ", codebook.dtype(), " ", codebook.shape());
  const auto numbers = counts.to_vector<int32_t>();
  return {epoch, codebook, {numbers.begin(), numbers.end()}, path_of(run_folder, epoch, ".png")};
}

}  // namespace versor
