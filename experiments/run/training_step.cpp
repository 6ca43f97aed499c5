// One training step: see training_step.h.
#include "experiments/run/training_step.h"

#include <algorithm>

#include "tensor/branch.h"

namespace versor {
namespace {

// What the guard checks of the forward pass, in the order computed: each level's latents, the loss.
std::vector<std::pair<std::string, Tensor>> seen(const VqModel& model, const StepResult& step) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t level = 0; level < model.levels().size(); ++level) {
    const std::string& name = model.levels()[level].name;
    all.emplace_back(name.empty() ? "encoder output" : name + " encoder output",
                     step.output.levels[level].latents.value());
  }
  all.emplace_back("loss", step.loss.total.value());
  return all;
}

std::vector<std::pair<std::string, Tensor>> gradients(const VqModel& model) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [name, p] : model.named_parameters())
    if (p.grad().defined()) all.emplace_back("the gradient of " + name, p.grad());
  return all;
}

// Whether update() and Adam write different tensors.
bool only_adam_moves_parameters(const VqModel& model) {
  return std::ranges::all_of(model.levels(), [](const VqModel::Level& level) {
    return level.quantizer->parameters().empty();
  });
}

}  // namespace

StepResult training_step(VqModel& model, Adam& adam, const Tensor& images, float beta,
                         FiniteGuard* guard) {
  adam.zero_grad();
  StepResult result;
  {
    const ParameterCopies copies(model.flat_parameters(), model.options().activations);
    result.output = model(images);
  }
  result.loss = vqvae_loss(result.output, images, beta);
  if (guard) guard->watch(seen(model, result));
  backward(result.loss.total);
  if (guard) guard->watch(gradients(model));
  const Tensor state = guard ? guard->state() : Tensor();
  const auto update = [&] { return model.update({result.output}, state); };
  BranchScope branches(images.backend());
  result.replaced = only_adam_moves_parameters(model) ? beside(update) : update();
  adam.step(state);
  branches.join();
  return result;
}

}  // namespace versor
