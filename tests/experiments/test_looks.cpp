// Looking at a model after an epoch, through the gradients of a batch and the reconstructions of a
// few images, must change nothing: least of all a codebook for which every forward pass is an EMA
// step.
#include "experiments/run/gradient_probe.h"
#include "experiments/run/snapshot.h"
#include "nn/safetensors.h"
#include "tensor/file.h"
#include "tensor/ops.h"
#include "tests/data/temporary_folder.h"
#include "tests/support.h"
#include "vq/vqvae.h"
#include "vq/vqvae2.h"

namespace versor::testing {
namespace {

std::string state_of(VqModel& model) {
  std::string bits;
  for (const auto& [name, counter] : model.counters()) bits += bits_of(counter);
  for (const auto& [name, tensor] : state_dict(model)) bits += bits_of(tensor);
  return bits;
}

void check_looks(VqModel& model) {
  const Tensor images = ops::uniform({2, 8, 8, 3}, Rng(5), -1.f, 1.f, {});
  const TemporaryFolder folder;
  for (bool training : {true, false}) {
    model.set_training(training);
    const std::string before = state_of(model);
    const std::string row = gradients_row(1, model, images, 0.25f);
    CHECK((state_of(model) == before));
    CHECK(gradients_row(1, model, images, 0.25f) == row);
    draw_reconstructions(folder / "picture.png", model, images);
    CHECK((state_of(model) == before));
    for (const auto& [name, p] : model.named_parameters()) CHECK_FALSE(p.grad().defined());
    model.update({model(images)});
    CHECK_FALSE((state_of(model) == before));
  }
}

VqVaeOptions moving() {
  VqVaeOptions options;
  options.quantizer.codebook = {.codes = 8, .latent = 8, .learning = CodebookLearning::both};
  return options;
}

TEST_CASE("looks: gradients and pictures change no byte of a model that an update would move") {
  VqVae one(moving(), {}, Rng(1));
  check_looks(one);
  VqVae2 two(moving(), {}, Rng(1));
  check_looks(two);
}

// Width and height in the header of a PNG file.
std::pair<int, int> size_of_png(const std::string& path) {
  const std::string bytes = read_file(path);
  const auto number = [&](size_t at) {
    int value = 0;
    for (size_t i = at; i < at + 4; ++i) value = 256 * value + static_cast<uint8_t>(bytes.at(i));
    return value;
  };
  return {number(16), number(20)};
}

// Two rows of images, each above its reconstructions, with 2 pixels between them.
TEST_CASE("looks: small images are enlarged, large ones are fewer") {
  const TemporaryFolder folder;
  const std::string path = folder / "picture.png";
  const auto size_with = [&](const Shape& images) {
    VqVaeOptions options = moving();
    options.image_channels = images[3];
    VqVae model(options, {}, Rng(1));
    draw_reconstructions(path, model, ops::uniform(images, Rng(5), -1.f, 1.f, {}));
    return size_of_png(path);
  };
  CHECK(size_with({16, 32, 32, 3}) == std::pair(8 * 98 - 2, 4 * 98 - 2));
  CHECK(size_with({16, 28, 28, 1}) == std::pair(8 * 86 - 2, 4 * 86 - 2));
  CHECK(size_with({3, 64, 64, 3}) == std::pair(3 * 66 - 2, 2 * 66 - 2));
  CHECK(size_with({16, 128, 64, 3}) == std::pair(8 * 66 - 2, 4 * 130 - 2));
  CHECK(size_with({16, 128, 256, 1}) == std::pair(3 * 258 - 2, 4 * 130 - 2));
  CHECK(size_with({3, 8, 1600, 3}) == std::pair(1600, 4 * 10 - 2));
}

TEST_CASE("looks: a snapshot has the codebook and counts of each level") {
  VqVae2 model(moving(), {}, Rng(2));
  const TemporaryFolder folder;
  const std::string run = folder.path().string();
  const std::vector<int64_t> counts = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18};
  write_snapshot(run, 3, model, counts, ops::uniform({2, 8, 8, 3}, Rng(5), -1.f, 1.f, {}));
  const Snapshot snapshot = read_snapshot(run, 3);  // of the last level
  const auto file = read_safetensors(run + "/snapshots/epoch-0003.safetensors").tensors;
  const auto state = state_dict(model);
  CHECK((bits_of(snapshot.codebook) == bits_of(state.at("bottom.codebook.weight"))));
  CHECK((bits_of(file.at("top.codebook.weight")) == bits_of(state.at("top.codebook.weight"))));
  CHECK(snapshot.counts == std::vector<int64_t>(counts.begin() + 8, counts.end()));
  CHECK(file.at("top.counts").to_vector<int32_t>() == std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

}  // namespace
}  // namespace versor::testing
