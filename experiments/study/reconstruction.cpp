// Reconstructions of the test set: see reconstruction.h.
#include "experiments/study/reconstruction.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>

#include "data/batcher.h"
#include "data/image_grid.h"
#include "data/ssim.h"
#include "experiments/study/evaluation.h"
#include "nn/safetensors.h"
#include "tensor/file.h"

namespace versor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatch = 128;  // of 32 x 32 pixels

// Calls take(images, first) for each batch of images, on the host.
void for_each_batch(const Dataset& test, Device device,
                    const std::function<void(const Tensor&, int64_t)>& take) {
  const Batcher batcher(test, images_at_once(test, kBatch), device);
  const Epoch epoch = batcher.in_order();
  for (int64_t b = 0; b < epoch.batches(); ++b) take(epoch.batch(b), b * batcher.batch_size());
}

// Calls take(images, reconstructions, first).
void for_each_reconstruction(
    const Run& run, const Dataset& test,
    const std::function<void(const Tensor&, const Tensor&, int64_t)>& take) {
  const Device device = run.options.device;
  const auto model = make_model(run.options, test.images.dim(3), device, Rng(0));
  const std::string path = run.folder + "/model.safetensors";
  load_state_dict(*model, read_safetensors(path), path);
  model->set_training(false);
  const NoGradGuard no_grad;
  for_each_batch(test, device, [&](const Tensor& images, int64_t first) {
    take(images.to({}), (*model)(images).reconstruction.value().to({}), first);
  });
}

// Calls write with a temporary folder beside the wanted one and renames it when it is complete.
void whole_folder(const std::string& folder, const std::function<void(const std::string&)>& write) {
  if (is_there(folder)) return;
  const std::string unfinished = folder + ".tmp";
  fs::remove_all(unfinished);
  fs::create_directories(unfinished);
  write(unfinished);
  fs::rename(unfinished, folder);
}

}  // namespace

double test_ssim(const Run& run, const Dataset& test) {
  const std::string path = run.folder + "/ssim.csv";
  if (is_there(path)) return read_metrics(path).last("test_ssim");
  double sum = 0;
  for_each_reconstruction(run, test, [&](const Tensor& images, const Tensor& made, int64_t) {
    for (double value : ssim(images, made)) sum += value;
  });
  const double mean = sum / static_cast<double>(test.size());
  write_file(path, fmt::format("test_ssim\n{:.8g}\n", mean));
  return mean;
}

void write_reconstructions(const Run& run, const Dataset& test, const std::string& folder) {
  whole_folder(folder, [&](const std::string& to) {
    for_each_reconstruction(run, test, [&](const Tensor&, const Tensor& made, int64_t first) {
      write_png_files(to, made, first);
    });
  });
}

void write_originals(const Dataset& test, const std::string& folder) {
  whole_folder(folder, [&](const std::string& to) {
    for_each_batch(
        test, {}, [&](const Tensor& images, int64_t first) { write_png_files(to, images, first); });
  });
}

}  // namespace versor
