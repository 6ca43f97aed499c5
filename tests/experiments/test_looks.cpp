// What a run looks at after an epoch, the gradients of a batch and the reconstructions of a few
// images, must change nothing: least of all a codebook whose every forward pass is an EMA step.
#include "experiments/gradient_probe.h"
#include "experiments/snapshot.h"
#include "nn/safetensors.h"
#include "tensor/ops.h"
#include "tests/data/temporary_folder.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

std::string state_of(VqVae& model) {
  std::string bits = bits_of(model.codebook().update_counter());
  for (const auto& [name, tensor] : state_dict(model)) bits += bits_of(tensor);
  return bits;
}

TEST_CASE("looks: gradients and pictures change no byte of a model that each pass would move") {
  VqVaeOptions options;
  options.codebook = {.codes = 8, .latent = 8, .owner = Owner::both, .ema_in_eval = true};
  VqVae model(options, {}, Rng(1));
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
    model(images);  // thawed again
    CHECK_FALSE((state_of(model) == before));
  }
}

}  // namespace
}  // namespace versor::testing
